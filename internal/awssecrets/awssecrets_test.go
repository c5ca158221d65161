package awssecrets_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/utkarsh698/cloudflow/internal/awscall"
	"github.com/utkarsh698/cloudflow/internal/awssecrets"
	"github.com/utkarsh698/cloudflow/internal/awstest"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/saga"
)

const name = "cloudflow/saga-keys"

// A world is a secret in the emulator, read through a proxy under a clock of its own.
type world struct {
	t      *testing.T
	secret *awssecrets.Secret
	proxy  *awstest.Proxy
	admin  *secretsmanager.Client
	log    bytes.Buffer

	mu  sync.Mutex
	now time.Time
}

func newWorld(t *testing.T, e *awstest.Emulator, text string) *world {
	t.Helper()
	w := &world{t: t, proxy: awstest.NewProxy(t, e.URL), admin: secretsmanager.NewFromConfig(e.Config()), now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)}
	id := fmt.Sprintf("%s-%p", name, w)
	if _, err := w.admin.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: &id, SecretString: &text}); err != nil {
		t.Fatal(err)
	}
	w.secret = awssecrets.Open(w.proxy.Config(), awssecrets.Config{
		ID: id, Now: w.clock, Log: slog.New(slog.NewTextHandler(&w.log, nil)),
		Calls: awscall.Limits{Try: 300 * time.Millisecond, Attempts: 2, Pause: 10 * time.Millisecond},
	})
	return w
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) put(text string) {
	w.t.Helper()
	id := w.id()
	if _, err := w.admin.PutSecretValue(w.t.Context(), &secretsmanager.PutSecretValueInput{SecretId: &id, SecretString: &text}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) id() string { return fmt.Sprintf("%s-%p", name, w) }

// is requires what Get gives, and how often Secrets Manager has been asked by then.
func (w *world) is(current, previous string, asked int) {
	w.t.Helper()
	v, err := w.secret.Get(w.t.Context())
	if err != nil || string(v.Current) != current || string(v.Previous) != previous || w.proxy.Asked("GetSecretValue") != asked {
		w.t.Errorf("%q and %q, %v, after %d calls; want %q and %q after %d", v.Current, v.Previous, err, w.proxy.Asked("GetSecretValue"), current, previous, asked)
	}
}

func TestSecret(t *testing.T) {
	emulator := awstest.Start(t)
	away := awstest.Trouble{Status: 500, Code: "InternalServiceError"}

	t.Run("a value is asked for once, and again after five minutes", func(t *testing.T) {
		w := newWorld(t, emulator, "a")
		w.is("a", "", 2) // the value, and the one before it, which is not there
		w.pass(5*time.Minute - 1)
		w.is("a", "", 2)
		w.pass(1)
		w.is("a", "", 3) // the same version
		w.put("b")
		w.is("a", "", 3)
		w.pass(5 * time.Minute)
		w.is("b", "a", 5)
	})
	t.Run("who needs the newest has it looked for, every ten seconds at most", func(t *testing.T) {
		w := newWorld(t, emulator, "a")
		w.is("a", "", 2)
		w.put("b")
		for range 3 {
			if v, err := w.secret.Fresh(t.Context()); err != nil || string(v.Current) != "a" {
				t.Errorf("%s, %v", v.Current, err)
			}
		}
		w.pass(10 * time.Second)
		for range 3 {
			if v, err := w.secret.Fresh(t.Context()); err != nil || string(v.Current) != "b" {
				t.Errorf("%s, %v", v.Current, err)
			}
		}
		w.is("b", "a", 4)
	})
	t.Run("while Secrets Manager fails the last value counts, for an hour, and then the error says so and quotes nothing", func(t *testing.T) {
		w := newWorld(t, emulator, "s3cret")
		w.is("s3cret", "", 2)
		w.pass(5 * time.Minute)
		w.proxy.Trouble("GetSecretValue", away, away, awstest.Trouble{Hang: true}, awstest.Trouble{Hang: true}, away, away)
		w.is("s3cret", "", 4)
		w.is("s3cret", "", 4) // not again for ten seconds
		w.pass(10 * time.Second)
		w.is("s3cret", "", 6)
		w.pass(time.Hour - 5*time.Minute - 10*time.Second)
		_, err := w.secret.Get(t.Context())
		if !fault.Is(err, fault.Transient) || !strings.Contains(err.Error(), "cannot be had for 1h0m0s") || strings.Contains(err.Error()+w.log.String(), "s3cret") {
			t.Error(err)
		}
		if n := strings.Count(w.log.String(), "cannot be read"); n != 1 {
			t.Errorf("logged %d times: %s", n, w.log.String())
		}
		w.pass(10 * time.Second)
		w.is("s3cret", "", 9)
		if !strings.Contains(w.log.String(), "can be read again") {
			t.Errorf("logged %s", w.log.String())
		}
	})
	t.Run("before it was ever had a look is made every second", func(t *testing.T) {
		w := newWorld(t, emulator, "a")
		w.proxy.Trouble("GetSecretValue", awstest.Trouble{Status: 400, Code: "AccessDeniedException"}, awstest.Trouble{Status: 400, Code: "ThrottlingException"}, awstest.Trouble{Status: 400, Code: "ThrottlingException"})
		for range 2 {
			if _, err := w.secret.Get(t.Context()); !fault.Is(err, fault.Internal) || w.proxy.Asked("GetSecretValue") != 1 {
				t.Errorf("%v after %d calls", err, w.proxy.Asked("GetSecretValue"))
			}
		}
		w.pass(time.Second)
		if _, err := w.secret.Get(t.Context()); !fault.Is(err, fault.Throttled) {
			t.Error(err)
		}
		w.pass(time.Second)
		w.is("a", "", 5)
	})
	t.Run("all who come at once share one look", func(t *testing.T) {
		w := newWorld(t, emulator, "a")
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if v, err := w.secret.Get(t.Context()); err != nil || string(v.Current) != "a" {
					t.Error(v, err)
				}
			})
		}
		wg.Wait()
		w.is("a", "", 2)
	})
	t.Run("who goes leaves the look to those who stay", func(t *testing.T) {
		w := newWorld(t, emulator, "a")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := w.secret.Get(ctx); err != nil {
			t.Error(err)
		}
		w.is("a", "", 2)
	})
	t.Run("a value shows itself nowhere", func(t *testing.T) {
		w := newWorld(t, emulator, "s3cret")
		v, err := w.secret.Get(t.Context())
		if text := fmt.Sprintf("%v %+v %#v %s", v, v, v, v); err != nil || strings.Contains(text, "s3cret") || strings.Contains(text, "115") {
			t.Error(text, err)
		}
	})
}

func keys(t *testing.T, signing string, letters string) string {
	t.Helper()
	byID := map[string]string{}
	for i, c := range letters {
		byID[fmt.Sprintf("k%d", i+1)] = hex.EncodeToString([]byte(strings.Repeat(string(c), 32)))
	}
	text, err := json.Marshal(map[string]any{"signing": signing, "keys": byID})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestTheSagasKeysAreRotated(t *testing.T) {
	emulator := awstest.Start(t)
	in := saga.Input{OrderID: "ord-1", Lines: []saga.Line{{ProductID: "A", Quantity: 2}}, TotalCents: 1205, Currency: "USD", PaymentMethod: "pm", CorrelationID: "c"}
	follow := func(t *testing.T, w *world) *saga.Keys {
		t.Helper()
		k, err := saga.FollowKeys(awssecrets.Parse(w.secret, saga.ParseKeys).Follow)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}

	t.Run("a rotation, step by step and each step twice: new inputs have the new key, old ones still verify", func(t *testing.T) {
		w := newWorld(t, emulator, keys(t, "k1", "a"))
		k := follow(t, w)
		old := k.Sign(in)
		check := func(text []byte) error { _, err := saga.ParseKeys(text); return err }
		r := awssecrets.NewRotator(w.proxy.Config(), saga.RotateKeys, check)
		const token = "11111111-2222-3333-4444-555555555555"
		id := w.id()
		had, err := w.admin.DescribeSecret(t.Context(), &secretsmanager.DescribeSecretInput{SecretId: &id})
		if err != nil {
			t.Fatal(err)
		}
		// Secrets Manager makes an empty version before the first step; the emulator cannot have one.
		had.VersionIdsToStages[token] = []string{"AWSPENDING"}
		versions, _ := json.Marshal(map[string]any{"VersionIdsToStages": had.VersionIdsToStages})
		w.proxy.Trouble("DescribeSecret", awstest.Trouble{Status: 200, Body: string(versions)})
		for _, step := range []string{"createSecret", "createSecret", "setSecret", "testSecret", "testSecret", "finishSecret", "finishSecret", "testSecret"} {
			if err := r.Do(t.Context(), awssecrets.Step{Step: step, SecretID: id, ClientRequestToken: token}); err != nil {
				t.Fatalf("%s: %v", step, err)
			}
		}
		if n := w.proxy.Asked("PutSecretValue"); n != 1 {
			t.Errorf("%d values were made", n)
		}

		if still := k.Sign(in); still.MAC != old.MAC { // within the five minutes
			t.Errorf("signed %s", still.MAC)
		}
		w.pass(5 * time.Minute)
		fresh := k.Sign(in)
		if !strings.HasPrefix(fresh.MAC, "k2:") || k.Verify(fresh) != nil || k.Verify(old) != nil {
			t.Errorf("signed %s", fresh.MAC)
		}
	})
	t.Run("a process that has not heard of the new key yet looks for it, and needs the old one no more to be in the new text", func(t *testing.T) {
		w := newWorld(t, emulator, keys(t, "k1", "a"))
		k := follow(t, w)
		old := k.Sign(in)
		w.put(strings.ReplaceAll(keys(t, "k1", "b"), "k1", "k2"))
		w.pass(10 * time.Second)
		another, err := saga.ParseKeys([]byte(strings.ReplaceAll(keys(t, "k1", "b"), "k1", "k2")))
		if err != nil {
			t.Fatal(err)
		}
		if err := k.Verify(another.Sign(in)); err != nil {
			t.Error(err)
		}
		if err := k.Verify(old); err != nil {
			t.Error(err)
		}
	})
	t.Run("a new text that cannot be used is said, and changes nothing", func(t *testing.T) {
		w := newWorld(t, emulator, keys(t, "k1", "a"))
		k := follow(t, w)
		old := k.Sign(in)
		w.put(keys(t, "k1", "b")) // another key under the same id
		w.pass(5 * time.Minute)
		if err := k.Verify(old); err != nil || k.Sign(in).MAC != old.MAC {
			t.Error(err)
		}
		if n := strings.Count(w.log.String(), "cannot be used"); n != 1 || strings.Contains(w.log.String(), "6262") {
			t.Errorf("logged %s", w.log.String())
		}
		if _, err := saga.FollowKeys(awssecrets.Parse(w.secret, saga.ParseKeys).Follow); !fault.Is(err, fault.Internal) || strings.Contains(err.Error(), "6262") {
			t.Errorf("a process that begins: %v", err)
		}
	})
	t.Run("a step of no rotation is refused", func(t *testing.T) {
		w := newWorld(t, emulator, keys(t, "k1", "a"))
		r := awssecrets.NewRotator(w.proxy.Config(), saga.RotateKeys, func([]byte) error { return nil })
		for _, s := range []awssecrets.Step{{Step: "createSecret", SecretID: w.id(), ClientRequestToken: "no such version"}} {
			if err := r.Do(t.Context(), s); !fault.Is(err, fault.ValidationFailed) {
				t.Errorf("%+v: %v", s, err)
			}
		}
		if err := r.Do(t.Context(), awssecrets.Step{SecretID: "no such secret"}); !fault.Is(err, fault.Internal) {
			t.Error(err)
		}
	})
}
