package answers

import (
	"cmp"
	"container/list"
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// Defaults of Config.
const (
	defaultMaxEntries = 4096
	defaultMaxBytes   = 32 << 20
	defaultPatience   = 30 * time.Second
	defaultMaxPending = 256
)

// Config is what a Cache is made from. The rest but TTL and Now has defaults.
type Config struct {
	// TTL is how long an answer is kept; 0 keeps none.
	TTL time.Duration
	// MaxEntries and MaxBytes bound what is kept; 0 means 4096, and 32 MiB. The oldest go.
	MaxEntries, MaxBytes int
	// Patience bounds the work on one question, also when nobody waits for it any more; 0
	// means 30 s.
	Patience time.Duration
	// MaxPending bounds what one asker has asked and not been answered; 0 means 256.
	MaxPending int
	// Now is the clock that answers grow old by.
	Now func() time.Time
}

// Question is what is asked, and by whom.
type Question struct {
	// Key tells questions apart: the same key has the same answer.
	Key string
	// Asker is whose room for questions is used.
	Asker string
}

// Cache keeps answers. Errors are never kept. It is safe for concurrent use, and holds its
// lock for as long as it takes to look something up.
type Cache struct {
	config  Config
	flights singleflight.Group

	mu sync.Mutex
	// era counts how often everything was forgotten. What was asked in one is no answer in
	// another.
	era     int
	kept    map[string]*list.Element // of answer
	oldest  *list.List
	bytes   int
	pending map[string]int // questions by asker
}

// answer is one that is kept.
type answer struct {
	key     string
	content []byte
	expires time.Time
}

// New makes a cache that holds nothing.
func New(config Config) *Cache {
	config.MaxEntries = cmp.Or(config.MaxEntries, defaultMaxEntries)
	config.MaxBytes = cmp.Or(config.MaxBytes, defaultMaxBytes)
	config.Patience = cmp.Or(config.Patience, defaultPatience)
	config.MaxPending = cmp.Or(config.MaxPending, defaultMaxPending)
	return &Cache{config: config, kept: map[string]*list.Element{}, oldest: list.New(), pending: map[string]int{}}
}

// Get gives the answer that is kept, or asks; who asks the same meanwhile gets the same
// answer. It returns when ctx is done. The question is then still worked on, within the
// patience of the cache: who comes back finds the answer. The caller must not change what it
// gets.
func (c *Cache) Get(ctx context.Context, question Question, ask func(context.Context) ([]byte, error)) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	content, era, err := c.begin(question)
	if content != nil || err != nil {
		return content, err
	}
	result := c.flights.DoChan(strconv.Itoa(era)+" "+question.Key, func() (any, error) {
		asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.config.Patience)
		defer cancel()
		found, err := guarded(asking, ask)
		if err != nil {
			return []byte(nil), err
		}
		c.keep(era, question.Key, found)
		return found, nil
	})
	select {
	case answered := <-result:
		c.end(question.Asker)
		found, _ := answered.Val.([]byte)
		return found, answered.Err
	case <-ctx.Done():
		go func() {
			<-result
			c.end(question.Asker)
		}()
		return nil, ctx.Err()
	}
}

// guarded turns a panic into an error. It would end the process: nobody above could recover
// from it, since this is a goroutine of its own.
func guarded(ctx context.Context, ask func(context.Context) ([]byte, error)) (found []byte, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			found, err = nil, fmt.Errorf("the host failed while it was asking: %v", cause)
		}
	}()
	return ask(ctx)
}

// begin gives the answer that is kept, or notes that the asker asks.
func (c *Cache) begin(question Question) (content []byte, era int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(func(a answer) bool { return !a.expires.After(c.config.Now()) })
	if element, found := c.kept[question.Key]; found {
		return answerOf(element).content, c.era, nil
	}
	if pending := c.pending[question.Asker]; pending >= c.config.MaxPending {
		return nil, 0, fmt.Errorf("policy %s waits for %d answers, allowed are %d at the same time", question.Asker, pending, c.config.MaxPending)
	}
	c.pending[question.Asker]++
	return nil, c.era, nil
}

func (c *Cache) end(asker string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pending[asker]--; c.pending[asker] <= 0 {
		delete(c.pending, asker)
	}
}

func (c *Cache) keep(era int, key string, content []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if era != c.era || c.config.TTL <= 0 || content == nil {
		return
	}
	if element, found := c.kept[key]; found {
		c.remove(element)
	}
	kept := answer{key, content, c.config.Now().Add(c.config.TTL)}
	c.kept[key] = c.oldest.PushBack(kept)
	c.bytes += kept.size()
	c.drop(func(answer) bool { return len(c.kept) > c.config.MaxEntries || c.bytes > c.config.MaxBytes })
}

// size is what an answer counts for.
func (a answer) size() int { return len(a.key) + len(a.content) }

// drop drops the oldest as long as they are to go. All are kept for the same time, so the
// oldest is always the first to expire.
func (c *Cache) drop(isToGo func(answer) bool) {
	for element := c.oldest.Front(); element != nil && isToGo(answerOf(element)); element = c.oldest.Front() {
		c.remove(element)
	}
}

func (c *Cache) remove(element *list.Element) {
	gone := answerOf(element)
	c.oldest.Remove(element)
	delete(c.kept, gone.key)
	c.bytes -= gone.size()
}

func answerOf(element *list.Element) answer {
	kept, _ := element.Value.(answer)
	return kept
}

// Forget drops everything, also what is being asked right now: whoever waits for it still
// gets it, and nobody after.
func (c *Cache) Forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.era++
	clear(c.kept)
	c.oldest.Init()
	c.bytes = 0
}
