package awslambda

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/utkarsh698/cloudflow/internal/auth/token"
	"github.com/utkarsh698/cloudflow/internal/breaker"
	"github.com/utkarsh698/cloudflow/internal/idempotency"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/notification"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/payment"
	"github.com/utkarsh698/cloudflow/internal/pii"
	"github.com/utkarsh698/cloudflow/internal/provider"
)

// The functions, as CLOUDFLOW_HANDLER names them.
const (
	OrderHandler        = "order-handler"
	InventoryHandler    = "inventory-handler"
	PaymentHandler      = "payment-handler"
	NotificationHandler = "notification-handler"
	Stream              = "stream"
	Sweeper             = "sweeper"
	Expirer             = "expirer"
	Review              = "review"
	DeadLetterCounter   = "dlq"
	Authorizer          = "authorizer"
)

// Handlers are all functions.
var Handlers = []string{
	OrderHandler, InventoryHandler, PaymentHandler, NotificationHandler, Stream, Sweeper, Expirer, Review, DeadLetterCounter, Authorizer,
}

// The variables of the environment. This is the one place where names of tables, ARNs and addresses come into the program. infra gives them.
const (
	EnvHandler      = "CLOUDFLOW_HANDLER"           // which function this is
	EnvStage        = "CLOUDFLOW_STAGE"             // such as prod: the dimension of its metrics
	EnvSagaKeys     = "CLOUDFLOW_SAGA_KEYS_SECRET"  // name or ARN of the secret with the signing keys
	EnvStateMachine = "CLOUDFLOW_STATE_MACHINE_ARN" // of the saga
	EnvQueue        = "CLOUDFLOW_QUEUE_URL"         // of the notifications
	EnvDeadLetters  = "CLOUDFLOW_DLQ_URL"           // of those that nobody could send
	EnvTopic        = "CLOUDFLOW_TOPIC_ARN"         // where notifications go that have no phone number
	EnvEventBus     = "CLOUDFLOW_EVENT_BUS"         // name or ARN of the bus for what happens to orders
	EnvCurrency     = "CLOUDFLOW_CURRENCY"          // the only one that is taken, ISO 4217
	EnvAuth         = "CLOUDFLOW_AUTH"              // jwt: callers are told apart by a token; none: they are not
	EnvOrigins      = "CLOUDFLOW_CORS_ORIGINS"      // whose pages may call, with commas between them
	EnvIssuer       = "CLOUDFLOW_JWT_ISSUER"        // the `iss` of tokens, exactly
	EnvAudience     = "CLOUDFLOW_JWT_AUDIENCE"      // what their `aud` must be or hold
	EnvKeys         = "CLOUDFLOW_JWT_KEYS"          // the https address of the issuer's public keys

	envTable = "CLOUDFLOW_TABLE_" // with the table's name behind it
)

// tables are the variables of the tables in the account, with what the store calls them.
var tables = map[string]string{
	envTable + "ORDERS":           order.Table,
	envTable + "INVENTORY":        inventory.Table,
	envTable + "RESERVATIONS":     inventory.ReservationsTable,
	envTable + "PAYMENTS":         payment.Table,
	envTable + "IDEMPOTENCY":      idempotency.Table,
	envTable + "CIRCUIT_BREAKERS": breaker.Table,
	envTable + "NOTIFICATIONS":    notification.Table,
	envTable + "ERASURES":         order.ErasuresTable,
	envTable + "CONTACT_KEYS":     pii.KeyTable,
	envTable + "PROVIDER":         provider.Table,
}

// A need is what a function needs of a variable.
type need map[string]bool // by function: whether it must be there

const (
	must = true
	may  = false
)

// needs are all variables, and who needs which. What a function is not listed for it does not read.
var needs = map[string]need{
	EnvHandler:      forAll(),
	EnvStage:        forAll(),
	EnvSagaKeys:     {OrderHandler: must, InventoryHandler: must, PaymentHandler: must, Stream: must, Sweeper: must},
	EnvStateMachine: {OrderHandler: must, Stream: must, Sweeper: must, Review: must},
	EnvQueue:        {OrderHandler: must, NotificationHandler: must},
	EnvDeadLetters:  {OrderHandler: must, DeadLetterCounter: must},
	EnvTopic:        {NotificationHandler: must},
	EnvEventBus:     {Stream: must},
	EnvCurrency:     {OrderHandler: must, PaymentHandler: must},
	EnvAuth:         {OrderHandler: must, InventoryHandler: must, PaymentHandler: must, Authorizer: must},
	EnvOrigins:      {OrderHandler: may, InventoryHandler: may, PaymentHandler: may},
	// The three stand together, or none does: then no token is good.
	EnvIssuer:   {Authorizer: may},
	EnvAudience: {Authorizer: may},
	EnvKeys:     {Authorizer: may},

	envTable + "ORDERS":           {OrderHandler: must, Stream: must, Sweeper: must, Expirer: must, Review: must},
	envTable + "INVENTORY":        {OrderHandler: must, InventoryHandler: must, Expirer: must},
	envTable + "RESERVATIONS":     {InventoryHandler: must, Expirer: must},
	envTable + "PAYMENTS":         {PaymentHandler: must},
	envTable + "IDEMPOTENCY":      {OrderHandler: must, InventoryHandler: must, PaymentHandler: must, Sweeper: must},
	envTable + "CIRCUIT_BREAKERS": {OrderHandler: must, PaymentHandler: must},
	envTable + "NOTIFICATIONS":    {NotificationHandler: must},
	envTable + "ERASURES":         {OrderHandler: must},
	envTable + "CONTACT_KEYS":     {OrderHandler: must, NotificationHandler: must},
	envTable + "PROVIDER":         {PaymentHandler: may}, // absent: there is no payment provider in this stage
}

func forAll() need {
	n := need{}
	for _, h := range Handlers {
		n[h] = must
	}
	return n
}

// An Environment is what a function was given.
type Environment struct {
	Handler string
	values  map[string]string
}

// ReadEnvironment reads what the function of CLOUDFLOW_HANDLER needs. Its error names every variable that is missing or wrong.
func ReadEnvironment(getenv func(string) string) (Environment, error) {
	e := Environment{Handler: getenv(EnvHandler), values: map[string]string{}}
	if !slices.Contains(Handlers, e.Handler) {
		return Environment{}, fmt.Errorf("%s=%q: it must be one of %s", EnvHandler, e.Handler, strings.Join(Handlers, ", "))
	}
	var missing []string
	for _, name := range slices.Sorted(maps.Keys(needs)) {
		required, ours := needs[name][e.Handler]
		if !ours {
			continue
		}
		e.values[name] = getenv(name)
		if required && e.values[name] == "" {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return Environment{}, fmt.Errorf("the environment of %s has no %s", e.Handler, strings.Join(missing, ", "))
	}
	return e, e.check()
}

func (e Environment) check() error {
	if auth := e.values[EnvAuth]; auth != "" && auth != authJWT && auth != authNone {
		return fmt.Errorf("%s=%q: it must be %s or %s", EnvAuth, auth, authJWT, authNone)
	}
	if e.Handler != Authorizer {
		return nil
	}
	given := 0
	for _, name := range []string{EnvIssuer, EnvAudience, EnvKeys} {
		if e.values[name] != "" {
			given++
		}
	}
	if given != 0 && given != 3 {
		return fmt.Errorf("%s, %s and %s stand together or not at all", EnvIssuer, EnvAudience, EnvKeys)
	}
	if given == 3 {
		if _, err := token.Keys(e.values[EnvKeys], nil, nil); err != nil {
			return fmt.Errorf("%s: %w", EnvKeys, err)
		}
	}
	return nil
}

// How callers are told apart.
const (
	authJWT  = "jwt"
	authNone = "none"
)

func (e Environment) get(name string) string { return e.values[name] }

// tables are the store's names of the function's tables, with those in the account.
func (e Environment) tables() map[string]string {
	given := map[string]string{}
	for variable, table := range tables {
		if e.values[variable] != "" {
			given[table] = e.values[variable]
		}
	}
	return given
}

func (e Environment) origins() []string {
	var origins []string
	for o := range strings.SplitSeq(e.values[EnvOrigins], ",") {
		if o = strings.TrimSpace(o); o != "" {
			origins = append(origins, o)
		}
	}
	return origins
}
