package output

import (
	"fmt"
	"sync"
	"time"
)

// progressDelay is the duration of work without a progress line.
const progressDelay = time.Second

// Progress shows on a terminal what takes longer than a second, and for how long it has
// run. stop removes the line, and must be called before anything else is printed.
func (s *Screen) Progress(text string) (stop func()) {
	if s == nil || s.Width == 0 || s.Dumb {
		return func() {}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		start := time.Now()
		for {
			select {
			case <-done:
				if time.Since(start) >= progressDelay {
					fmt.Fprint(s, "\r\x1b[K") // erase the line
				}
				return
			case <-time.After(progressDelay):
				fmt.Fprintf(s, "\r%s... %ds", wrap(text, s.Width-10)[0], int(time.Since(start).Seconds()))
			}
		}
	}()
	return sync.OnceFunc(func() {
		close(done)
		<-ended
	})
}
