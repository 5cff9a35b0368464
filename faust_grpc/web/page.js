"use strict";
(() => {
  const REFRESH_MS = 2000;
  // The other workers have two seconds to answer this one.
  const TIMEOUT_MS = 6000;
  const main = () => document.querySelector("main");
  const note = document.querySelector("[role=status]");
  let asked = 0;
  let pressed = false;
  let answered = new Date();

  const say = (text, stale = false) => {
    if (note.textContent !== text) note.textContent = text;
    note.hidden = !text;
    document.body.classList.toggle("stale", stale);
  };

  // What somebody copies must not be replaced meanwhile.
  const selected = () => {
    const selection = getSelection();
    return !selection.isCollapsed && main().contains(selection.anchorNode);
  };

  // The element that has the same place in the new page, for who uses the keyboard.
  const focusAgain = (path) => {
    const found = path && main().querySelector(path);
    if (found) found.focus({ preventScroll: true });
  };
  const pathOf = (element) => {
    const steps = [];
    for (let at = element; at && at !== main(); at = at.parentElement) {
      steps.unshift(`:nth-child(${[...at.parentElement.children].indexOf(at) + 1})`);
    }
    return steps.length ? `:scope > ${steps.join(" > ")}` : "";
  };

  const draw = (text) => {
    const focused = main().contains(document.activeElement) && pathOf(document.activeElement);
    // Only this part: the style beside it would be refused in a parsed document, with a complaint.
    const part = text.slice(text.indexOf("<main"), text.lastIndexOf("</main>"));
    // The server escaped what it sent; a parsed document runs no script.
    const parsed = new DOMParser().parseFromString(part, "text/html");
    main().replaceWith(document.adoptNode(parsed.querySelector("main")));
    focusAgain(focused);
  };

  const refresh = async () => {
    const mine = ++asked;
    try {
      const signal = AbortSignal.timeout(TIMEOUT_MS);
      const response = await fetch(location.href, { cache: "no-store", signal });
      if (!response.ok) throw new Error(response.status);
      const text = await response.text();
      if (mine !== asked) return;
      answered = new Date();
      // A click is a press and a release on one element.
      if (!pressed && !selected()) draw(text);
      say(selected() ? "Not refreshed while text is selected." : "");
    } catch {
      if (mine !== asked) return;
      const since = answered.toLocaleTimeString();
      say(`This worker has not answered since ${since}. What you see is from then.`, true);
    }
  };

  const keepFresh = async () => {
    const began = performance.now();
    await refresh();
    // A page that takes long to make is asked for less often.
    const pause = Math.max(REFRESH_MS, 4 * (performance.now() - began));
    setTimeout(keepFresh, document.hidden ? 5 * pause : pause);
  };

  const token = () => {
    let known = sessionStorage.getItem("faust-grpc-token");
    if (!known) {
      known = prompt("Token of the workers") || "";
      if (known) sessionStorage.setItem("faust-grpc-token", known);
    }
    return known;
  };

  const act = async (place, action) => {
    const secret = token();
    if (!secret) return;
    const path = [place.source, place.split, action].map(encodeURIComponent);
    try {
      const response = await fetch([main().dataset.prefix, ...path].join("/"), {
        method: "POST",
        headers: { Authorization: `Bearer ${secret}` },
      });
      if (response.status === 401) sessionStorage.removeItem("faust-grpc-token");
      if (!response.ok) alert((await response.json()).error);
    } catch (error) {
      alert(error);
    }
  };

  document.addEventListener("click", async (event) => {
    const button = event.target.closest(".actions button");
    if (!button) return;
    button.disabled = true;
    await act(button.parentElement.dataset, button.textContent);
    button.disabled = false;
    await refresh();
  });
  addEventListener("pointerdown", () => { pressed = true; });
  for (const end of ["pointerup", "pointercancel", "blur"]) {
    addEventListener(end, () => { pressed = false; });
  }

  document.body.classList.add("scripted");
  setTimeout(keepFresh, REFRESH_MS);
})();
