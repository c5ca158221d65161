package awsbus_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/utkarsh698/cloudflow/internal/awscall"
	"github.com/utkarsh698/cloudflow/internal/awstest"
	"github.com/utkarsh698/cloudflow/internal/bus"
	"github.com/utkarsh698/cloudflow/internal/bus/awsbus"
	"github.com/utkarsh698/cloudflow/internal/bus/bustest"
	"github.com/utkarsh698/cloudflow/internal/fault"
)

// visibility of the suite: SQS counts in seconds, and a busy machine takes one of them for a few calls.
const visibility = 3 * time.Second

// TestMain lets the suite's rules wait together: they sleep, and take no processor.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "16"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func TestBus(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("SQS's clock is not ours: half a minute of waiting")
	}
	emulator := awstest.Start(t)
	t.Run("rules", func(t *testing.T) { // returns when all of them have, and then the emulator ends
		bustest.Run(t, func(t *testing.T) bustest.Harness {
			t.Parallel()
			q := awsbus.Open(emulator.Config(), makeQueues(t, emulator))
			return bustest.Harness{Queue: q, Dead: q, Advance: time.Sleep, Visibility: visibility}
		})
	})
}

// makeQueues makes a queue and its dead-letter queue.
func makeQueues(t *testing.T, e *awstest.Emulator) awsbus.Config {
	t.Helper()
	client := sqs.NewFromConfig(e.Config())
	name := rand.Text()
	dead, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String(name + "-dead")})
	if err != nil {
		t.Fatal(err)
	}
	policy := fmt.Sprintf(`{"deadLetterTargetArn":"arn:aws:sqs:%s:%s:%s-dead","maxReceiveCount":"%d"}`, awstest.Region, awstest.Account, name, bus.MaxReceives)
	queue, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &name, Attributes: map[string]string{"RedrivePolicy": policy}})
	if err != nil {
		t.Fatal(err)
	}
	return awsbus.Config{URL: *queue.QueueUrl, DeadURL: *dead.QueueUrl}
}

// quick are limits that make a test of what hangs short.
var quick = awscall.Limits{Try: 300 * time.Millisecond, Attempts: 3, Pause: 20 * time.Millisecond}

func TestQueue(t *testing.T) {
	t.Parallel()
	emulator := awstest.Start(t)
	open := func(t *testing.T) (*awsbus.Queue, *awstest.Proxy, awsbus.Config) {
		c := makeQueues(t, emulator)
		c.Calls = quick
		proxy := awstest.NewProxy(t, emulator.URL)
		return awsbus.Open(proxy.Config(), c), proxy, c
	}
	one := func(t *testing.T, q *awsbus.Queue) bus.Message {
		t.Helper()
		m, err := q.Receive(t.Context(), 10, time.Minute)
		if err != nil || len(m) != 1 {
			t.Fatalf("received %d, %v", len(m), err)
		}
		return m[0]
	}

	t.Run("a message carries its sender's name and trace, and JSON goes as it is", func(t *testing.T) {
		q, _, c := open(t)
		const trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
		if err := q.SendMessage(t.Context(), awsbus.Sent{ID: "ord-1.v5", Body: []byte("{\"a\":\"ü\\u0000\"}\n"), Trace: trace}); err != nil {
			t.Fatal(err)
		}
		out, err := sqs.NewFromConfig(emulator.Config()).ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{
			QueueUrl: &c.URL, VisibilityTimeout: 1, MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"},
		})
		if err != nil || len(out.Messages) != 1 || *out.Messages[0].Body != "{\"a\":\"ü\\u0000\"}\n" || out.Messages[0].Attributes["AWSTraceHeader"] != trace {
			t.Fatalf("%+v, %v", out, err)
		}
		time.Sleep(1100 * time.Millisecond)
		if m := one(t, q); m.ID != "ord-1.v5" || string(m.Body) != "{\"a\":\"ü\\u0000\"}\n" || time.Since(m.SentAt) > time.Minute {
			t.Errorf("received %+v", m)
		}
	})
	t.Run("a name that cannot be one is refused before anybody is asked", func(t *testing.T) {
		q, proxy, _ := open(t)
		for _, id := range []string{"a b", "ü", strings.Repeat("x", 257)} {
			if err := q.SendMessage(t.Context(), awsbus.Sent{ID: id, Body: []byte("x")}); !fault.Is(err, fault.ValidationFailed) {
				t.Errorf("%q: %v", id, err)
			}
		}
		if n := proxy.Asked("SendMessage"); n != 0 {
			t.Errorf("asked %d times", n)
		}
	})
	t.Run("a call that is throttled, fails, hangs or loses its reply is made again", func(t *testing.T) {
		q, proxy, _ := open(t)
		proxy.Trouble("SendMessage", awstest.Trouble{Status: 400, Code: "ThrottlingException"}, awstest.Trouble{Status: 500, Code: "InternalFailure"})
		if err := q.Send(t.Context(), []byte("a")); err != nil || proxy.Asked("SendMessage") != 3 {
			t.Fatalf("%v after %d calls", err, proxy.Asked("SendMessage"))
		}
		proxy.Trouble("ReceiveMessage", awstest.Trouble{Hang: true})
		m := one(t, q)
		proxy.Trouble("DeleteMessageBatch", awstest.Trouble{LoseReply: true})
		if err := q.Delete(t.Context(), m.Receipt); err != nil || proxy.Asked("DeleteMessageBatch") != 2 {
			t.Errorf("%v after %d calls", err, proxy.Asked("DeleteMessageBatch"))
		}
	})
	t.Run("and not for ever: then the error's kind says whether another try makes sense", func(t *testing.T) {
		q, proxy, _ := open(t)
		for _, c := range []struct {
			trouble awstest.Trouble
			tries   int
			kind    fault.Kind
		}{
			{awstest.Trouble{Status: 500, Code: "InternalFailure"}, 3, fault.Transient},
			{awstest.Trouble{Hang: true}, 3, fault.Transient},
			{awstest.Trouble{Status: 400, Code: "RequestThrottled"}, 3, fault.Throttled},
			{awstest.Trouble{Status: 403, Code: "AccessDeniedException"}, 1, fault.Internal},
			{awstest.Trouble{Status: 200, Body: "<html>"}, 1, fault.Transient},
		} {
			before := proxy.Asked("SendMessage")
			proxy.Trouble("SendMessage", slices.Repeat([]awstest.Trouble{c.trouble}, c.tries)...)
			err := q.Send(t.Context(), []byte("a"))
			if n := proxy.Asked("SendMessage") - before; n != c.tries || !fault.Is(err, c.kind) {
				t.Errorf("%+v: %v after %d calls", c.trouble, err, n)
			}
		}
	})
	t.Run("what waits is counted whether it is hidden or not, and dead letters apart", func(t *testing.T) {
		q, _, c := open(t)
		for range 3 {
			if err := q.Send(t.Context(), []byte("a")); err != nil {
				t.Fatal(err)
			}
		}
		if m, err := q.Receive(t.Context(), 1, time.Minute); err != nil || len(m) != 1 {
			t.Fatal(m, err)
		}
		body := "dead"
		if _, err := sqs.NewFromConfig(emulator.Config()).SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &c.DeadURL, MessageBody: &body}); err != nil {
			t.Fatal(err)
		}
		waiting, err := q.CountWaiting(t.Context())
		dead, err2 := q.CountDead(t.Context())
		if err != nil || err2 != nil || waiting != 3 || dead != 1 {
			t.Errorf("%d wait, %d are dead, %v, %v", waiting, dead, err, err2)
		}
	})
	t.Run("entries of a batch that fail are an error that says how many, and the others are done", func(t *testing.T) {
		q, proxy, _ := open(t)
		for range 12 {
			if err := q.Send(t.Context(), []byte("a")); err != nil {
				t.Fatal(err)
			}
		}
		messages, err := q.Receive(t.Context(), 45, time.Minute)
		if err != nil || len(messages) != 12 {
			t.Fatalf("received %d, %v", len(messages), err)
		}
		var receipts []string
		for _, m := range messages {
			receipts = append(receipts, m.Receipt)
		}
		proxy.Trouble("DeleteMessageBatch", awstest.Trouble{Status: 200, Body: `{"Successful":[{"Id":"0"}],"Failed":[
			{"Id":"1","Code":"InternalError","SenderFault":false},{"Id":"2","Code":"ReceiptHandleIsInvalid","SenderFault":true}]}`})
		err = q.Delete(t.Context(), receipts...)
		if !fault.Is(err, fault.Transient) || !strings.Contains(err.Error(), "1 of 12 messages failed: InternalError") || proxy.Asked("DeleteMessageBatch") != 2 {
			t.Errorf("%v after %d calls", err, proxy.Asked("DeleteMessageBatch"))
		}
		proxy.Trouble("ChangeMessageVisibilityBatch", awstest.Trouble{Status: 403, Code: "AccessDeniedException"})
		err = q.Defer(t.Context(), time.Second, "no", receipts[:10]...)
		if !fault.Is(err, fault.Internal) || !strings.Contains(err.Error(), "10 of 10 messages failed") {
			t.Error(err)
		}
	})
	t.Run("a delay is of whole seconds, rounded up, and not beyond what SQS takes", func(t *testing.T) {
		q, proxy, _ := open(t)
		for delay, want := range map[time.Duration]int{-time.Second: 0, 0: 0, time.Millisecond: 1, 90 * time.Second: 90, 100 * time.Hour: 39600} {
			before := proxy.Asked("ChangeMessageVisibilityBatch")
			if err := q.Defer(t.Context(), delay, "", "gone"); err != nil {
				t.Error(err)
			}
			var in struct {
				Entries []struct{ VisibilityTimeout int }
			}
			if err := json.Unmarshal(proxy.Bodies("ChangeMessageVisibilityBatch")[before], &in); err != nil || in.Entries[0].VisibilityTimeout != want {
				t.Errorf("%v: %+v, %v", delay, in, err)
			}
		}
	})
	t.Run("Wait polls until something comes, and the next Receive has it", func(t *testing.T) {
		q, proxy, _ := open(t)
		if m, err := q.Receive(t.Context(), 10, time.Minute); err != nil || len(m) != 0 {
			t.Fatal(m, err)
		}
		waited := make(chan error)
		go func() { waited <- q.Wait(t.Context()) }()
		for proxy.Asked("ReceiveMessage") < 2 { // the poll is under way
			time.Sleep(10 * time.Millisecond)
		}
		if err := q.Send(t.Context(), []byte("a")); err != nil {
			t.Fatal(err)
		}
		if err := <-waited; err != nil {
			t.Fatal(err)
		}
		if err := q.Wait(t.Context()); err != nil || proxy.Asked("ReceiveMessage") != 2 {
			t.Errorf("a second Wait: %v after %d calls", err, proxy.Asked("ReceiveMessage"))
		}
		if m := one(t, q); string(m.Body) != "a" || m.Receives != 1 {
			t.Errorf("received %+v", m)
		}
	})
	t.Run("what Wait has found is given for as long as was asked, and not when its time is over", func(t *testing.T) {
		c := makeQueues(t, emulator)
		now := time.Now()
		c.Now = func() time.Time { return now }
		proxy := awstest.NewProxy(t, emulator.URL)
		q := awsbus.Open(proxy.Config(), c)
		for _, step := range []struct {
			passed         time.Duration
			received, hide int
		}{{10 * time.Second, 1, 1}, {time.Minute, 0, 1}} {
			if err := q.Send(t.Context(), []byte("a")); err != nil {
				t.Fatal(err)
			}
			if err := q.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			now = now.Add(step.passed)
			m, err := q.Receive(t.Context(), 10, 30*time.Second)
			if err != nil || len(m) != step.received || proxy.Asked("ChangeMessageVisibility") != step.hide {
				t.Errorf("after %v: %d, %v, hidden anew %d times", step.passed, len(m), err, proxy.Asked("ChangeMessageVisibility"))
			}
		}
	})
	t.Run("a wait that its context ends is over at once", func(t *testing.T) {
		q, _, _ := open(t)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := q.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
	t.Run("a redrive that loses its place leaves each letter in one queue at least", func(t *testing.T) {
		q, proxy, c := open(t)
		client := sqs.NewFromConfig(emulator.Config())
		for i := range 12 {
			body := fmt.Sprint(i)
			if _, err := client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &c.DeadURL, MessageBody: &body}); err != nil {
				t.Fatal(err)
			}
		}
		// The third send fails for good, so does the deletion of the two that were sent.
		denied := awstest.Trouble{Status: 403, Code: "AccessDeniedException"}
		proxy.Trouble("SendMessage", awstest.Trouble{}, awstest.Trouble{}, denied)
		proxy.Trouble("DeleteMessageBatch", denied)
		if n, err := q.Redrive(t.Context()); n != 2 || !fault.Is(err, fault.Internal) {
			t.Fatalf("%d, %v", n, err)
		}
		seen := map[string]bool{}
		count := func(url string) {
			for {
				out, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: 10, VisibilityTimeout: 60})
				if err != nil {
					t.Fatal(err)
				}
				if len(out.Messages) == 0 {
					return
				}
				for _, m := range out.Messages {
					seen[*m.Body] = true
				}
			}
		}
		count(c.URL)
		count(c.DeadURL)
		if len(seen) != 12 {
			t.Errorf("%d letters are left of 12", len(seen))
		}
	})
	t.Run("a letter that died elsewhere stands among the dead ones with its name and time, and can be redriven", func(t *testing.T) {
		q, _, _ := open(t)
		letter := bus.DeadLetter{ID: "<ord-1.4@cloudflow>", Body: []byte(`{"a":1}`), SentAt: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)}
		if err := q.SendDead(t.Context(), letter); err != nil {
			t.Fatal(err)
		}
		letters, _, err := q.List(t.Context(), "", 10)
		if err != nil || len(letters) != 1 || letters[0].ID != letter.ID || string(letters[0].Body) != string(letter.Body) || !letters[0].SentAt.Equal(letter.SentAt) {
			t.Fatalf("%+v %v", letters, err)
		}
		if n, err := q.Redrive(t.Context(), letter.ID); n != 1 || err != nil {
			t.Errorf("%d %v", n, err)
		}
	})
	t.Run("a list shows the first page in the order of sending, and its cursor goes on behind it", func(t *testing.T) {
		q, _, c := open(t)
		client := sqs.NewFromConfig(emulator.Config())
		for i := range 25 {
			body := fmt.Sprintf("%02d", i)
			if _, err := client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &c.DeadURL, MessageBody: &body}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Millisecond) // SQS's times are in milliseconds
		}
		var got []string
		pages := 0
		for cursor := ""; ; pages++ {
			letters, next, err := q.List(t.Context(), cursor, 10)
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range letters {
				got = append(got, string(l.Body))
				if l.Receives != bus.MaxReceives || l.DiedAt.IsZero() {
					t.Errorf("%+v", l)
				}
			}
			if next == "" {
				break
			}
			cursor = next
		}
		if len(got) != 25 || !slices.IsSorted(got) || pages != 2 {
			t.Errorf("%d pages: %q", pages, got)
		}
	})
}
