package main

import (
	"encoding/json"
	"io"
	"sync"
	"time"
)

// CallLog writes one line of JSON when a call opens and one when it closes.
type CallLog struct {
	mutex sync.Mutex
	out   io.Writer
	calls uint64
}

type callEntry struct {
	Time          float64 `json:"time"` // seconds since the epoch
	Event         string  `json:"event"`
	Call          uint64  `json:"call"`
	Reader        string  `json:"reader"`
	Region        string  `json:"region"`
	AfterSequence uint64  `json:"after_sequence"`
	Sent          uint64  `json:"sent"`          // messages of this call
	LastSequence  uint64  `json:"last_sequence"` // of the last one
}

// Open logs the start of a call and gives it its number.
func (l *CallLog) Open(entry callEntry) callEntry {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.calls++
	entry.Call = l.calls
	l.write("open", entry)
	return entry
}

// Close logs the end of a call.
func (l *CallLog) Close(entry callEntry) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.write("close", entry)
}

func (l *CallLog) write(event string, entry callEntry) {
	entry.Time = float64(time.Now().UnixMicro()) / 1e6
	entry.Event = event
	line, err := json.Marshal(entry)
	if err != nil {
		panic(err) // no field of an entry can fail
	}
	l.out.Write(append(line, '\n'))
}
