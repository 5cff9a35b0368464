"use strict";
(() => {
  const REFRESH_MS = 2000;
  const main = () => document.querySelector("main");
  const showButtons = () => {
    for (const button of main().querySelectorAll("button")) button.hidden = false;
  };

  // The server escaped what it sent; a parsed document runs no script.
  const refresh = async () => {
    try {
      const response = await fetch(location.href, { cache: "no-store" });
      if (!response.ok) throw new Error(response.status);
      const parsed = new DOMParser().parseFromString(await response.text(), "text/html");
      if (!main().contains(document.activeElement)) {
        main().replaceWith(document.adoptNode(parsed.querySelector("main")));
        showButtons();
      }
      main().classList.remove("stale");
    } catch {
      main().classList.add("stale");
    }
    setTimeout(refresh, document.hidden ? 5 * REFRESH_MS : REFRESH_MS);
  };

  const token = () => {
    let known = sessionStorage.getItem("faust-grpc-token");
    if (!known) {
      known = prompt("Token of the workers") || "";
      if (known) sessionStorage.setItem("faust-grpc-token", known);
    }
    return known;
  };

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-source]");
    if (!button) return;
    const secret = token();
    if (!secret) return;
    const path = [button.dataset.source, button.dataset.split, button.textContent];
    const url = [main().dataset.prefix, ...path.map(encodeURIComponent)].join("/");
    button.disabled = true;
    try {
      const response = await fetch(url, {
        method: "POST",
        headers: { Authorization: `Bearer ${secret}` },
      });
      if (response.status === 401) sessionStorage.removeItem("faust-grpc-token");
      if (!response.ok) alert((await response.json()).error);
    } catch (error) {
      alert(error);
    }
    button.disabled = false;
    button.blur();
  });

  showButtons();
  setTimeout(refresh, REFRESH_MS);
})();
