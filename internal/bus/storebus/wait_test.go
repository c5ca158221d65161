package storebus_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/utkarsh698/cloudflow/internal/bus/storebus"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

func TestWait(t *testing.T) {
	t.Run("it wakes at once when a message is sent, and when a visibility ends", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			q := storebus.Open(memstore.New(memstore.Options{}), "q", storebus.Config{})
			started := time.Now()
			var got []string
			done := make(chan struct{})
			go func() {
				defer close(done)
				for len(got) < 4 {
					if err := q.Wait(t.Context()); err != nil {
						t.Error(err)
						return
					}
					messages, err := q.Receive(t.Context(), 10, 30*time.Second)
					if err != nil {
						t.Error(err)
						return
					}
					for _, m := range messages {
						got = append(got, fmt.Sprintf("%s at %v", m.Body, time.Since(started)))
						if m.Receives == 2 || string(m.Body) == "b" {
							_ = q.Delete(t.Context(), m.Receipt)
						}
					}
				}
			}()
			time.Sleep(time.Hour)
			_ = q.Send(t.Context(), []byte("a"))
			time.Sleep(10 * time.Second)
			_ = q.Send(t.Context(), []byte("b"))
			time.Sleep(time.Hour)
			_ = q.Send(t.Context(), []byte("b"))
			<-done
			want := []string{"a at 1h0m0s", "b at 1h0m10s", "a at 1h0m30s", "b at 2h0m10s"}
			if !slices.Equal(got, want) {
				t.Errorf("received %q, want %q", got, want)
			}
		})
	})
	t.Run("one waiter sees what the other leaves when its visibility ends", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := memstore.New(memstore.Options{})
			q := storebus.Open(s, "q", storebus.Config{})
			_, _ = q.Receive(t.Context(), 10, time.Second)
			started := time.Now()
			woken := make(chan time.Duration)
			go func() {
				for {
					if err := q.Wait(t.Context()); err != nil {
						return
					}
					if m, _ := q.Receive(t.Context(), 10, time.Second); len(m) == 1 && m[0].Receives == 2 {
						woken <- time.Since(started)
						return
					}
				}
			}()
			synctest.Wait()
			stage(t, s, q, "m") // nobody is told, so that the waiter sleeps on
			if m, err := q.Receive(t.Context(), 2, 20*time.Second); err != nil || len(m) != 1 {
				t.Fatalf("received %d, %v", len(m), err)
			}
			if d := <-woken; d != 20*time.Second {
				t.Errorf("woken after %v", d)
			}
		})
	})
	t.Run("who sleeps already finds a message whose commit nobody reported a second later", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := memstore.New(memstore.Options{})
			q := storebus.Open(s, "q", storebus.Config{})
			_, _ = q.Receive(t.Context(), 10, time.Second)
			woken := make(chan error)
			go func() { woken <- q.Wait(t.Context()) }()
			time.Sleep(time.Hour)
			stage(t, s, q, "m")
			staged := time.Now()
			if err := <-woken; err != nil {
				t.Fatal(err)
			}
			if m, err := q.Receive(t.Context(), 1, time.Second); err != nil || len(m) != 1 || time.Since(staged) > 2*time.Second {
				t.Errorf("received %d, %v, after %v", len(m), err, time.Since(staged))
			}
		})
	})
	t.Run("it ends with its context", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			q := storebus.Open(memstore.New(memstore.Options{}), "q", storebus.Config{})
			_, _ = q.Receive(t.Context(), 10, time.Second)
			ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
			defer cancel()
			if err := q.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Wait = %v", err)
			}
		})
	})
}
