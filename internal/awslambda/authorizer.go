package awslambda

import (
	"context"
	"errors"
	"log/slog"
	"strings"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda/messages"

	"github.com/utkarsh698/cloudflow/internal/auth"
	"github.com/utkarsh698/cloudflow/internal/fault"
)

// An authorizer says who a token stands for. A nil verify knows no issuer, and refuses everything.
type authorizer struct {
	verify func(ctx context.Context, credential string) (auth.Principal, error)
	log    *slog.Logger
}

// errUnauthorized is the one answer that API Gateway makes a 401 of: its message has to be this word
// (https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-use-lambda-authorizer.html). Any other error is a 500 there, which the
// gateway's responses make a 503.
var errUnauthorized = messages.InvokeResponse_Error{Type: "Unauthorized", Message: "Unauthorized"}

// do answers a request for authorization of the type TOKEN with a policy that allows the API's stage, and who calls in its context. What the caller
// may do there is the handlers' to decide, by the scopes. A token that is not good is refused without a word why: that is for the log.
func (a authorizer) do(ctx context.Context, e events.APIGatewayCustomAuthorizerRequest) (events.APIGatewayCustomAuthorizerResponse, error) {
	var none events.APIGatewayCustomAuthorizerResponse
	stage, ok := stageOf(e.MethodArn)
	if !ok {
		return none, fault.New(fault.Internal, "not the ARN of a method: %q", e.MethodArn)
	}
	scheme, credential, _ := strings.Cut(e.AuthorizationToken, " ")
	credential = strings.TrimLeft(credential, " ")
	if e.Type != "TOKEN" || !strings.EqualFold(scheme, "Bearer") || credential == "" {
		return none, errUnauthorized
	}
	if a.verify == nil {
		a.log.LogAttrs(ctx, slog.LevelWarn, "A caller is refused: no issuer of tokens is configured")
		return none, errUnauthorized
	}
	p, err := a.verify(ctx, credential)
	if fault.Is(err, fault.Unauthorized) {
		a.log.LogAttrs(ctx, slog.LevelInfo, "A token is refused", slog.Any("error", errors.Unwrap(err)))
		return none, errUnauthorized
	}
	if err != nil {
		return none, err
	}
	var names []string
	for _, s := range p.Scopes.List() {
		names = append(names, string(s))
	}
	return events.APIGatewayCustomAuthorizerResponse{
		PrincipalID: p.Subject,
		PolicyDocument: events.APIGatewayCustomAuthorizerPolicy{Version: "2012-10-17", Statement: []events.IAMPolicyStatement{{
			Action: []string{"execute-api:Invoke"}, Effect: "Allow", Resource: []string{stage + "/*"},
		}}},
		Context: map[string]any{contextSubject: p.Subject, contextScopes: strings.Join(names, " ")},
	}, nil
}

// stageOf is the ARN of the API's stage: the method's, arn:aws:execute-api:<region>:<account>:<api>/<stage>/<method>/<path>, up to it.
func stageOf(methodARN string) (string, bool) {
	parts := strings.SplitN(methodARN, "/", 3)
	if len(parts) < 3 || !strings.Contains(parts[0], ":execute-api:") || parts[1] == "" {
		return "", false
	}
	return parts[0] + "/" + parts[1], true
}
