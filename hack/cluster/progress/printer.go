package progress

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// reminder is how often a step that is still at work says so.
const reminder = 30 * time.Second

// Printer writes progress lines.
type Printer struct {
	mu  sync.Mutex
	out io.Writer
	now func() time.Time
}

// New writes to out and takes the time from now.
func New(out io.Writer, now func() time.Time) *Printer {
	return &Printer{out: out, now: now}
}

// Step says that work begins, does it, and says how long it took or why it failed. Long
// work says every half minute that it is still at it. The error names the step.
func (p *Printer) Step(title string, work func() error) error {
	start := p.now()
	p.Say("  -> " + title)
	done := make(chan struct{})
	var reminders sync.WaitGroup
	reminders.Go(func() { p.remind(title, start, done) })
	err := work()
	close(done)
	reminders.Wait()
	took := p.now().Sub(start).Round(100 * time.Millisecond)
	if err != nil {
		p.Say(fmt.Sprintf("  !! %s: failed after %s", title, took))
		return fmt.Errorf("%s: %w", title, err)
	}
	p.Say(fmt.Sprintf("  ok %s: %s", title, took))
	return nil
}

func (p *Printer) remind(title string, start time.Time, done <-chan struct{}) {
	ticker := time.NewTicker(reminder)
	defer ticker.Stop()
	for {
		select {
		case <-done:
			return
		case <-ticker.C:
			p.Say(fmt.Sprintf("  .. %s: %s so far", title, p.now().Sub(start).Round(time.Second)))
		}
	}
}

// Say writes one line.
func (p *Printer) Say(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = fmt.Fprintln(p.out, line)
}
