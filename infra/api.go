package main

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigateway"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awswafv2"
)

const authorizer = "authorizer"

// How much is let in. A token bucket each: so many calls a second, and so many at once. What is over is 429.
const (
	stageRate, stageBurst   = 500, 1000 // of all callers: what the account's other interfaces need is left to them (AWS gives 10,000 a second to all)
	clientRate, clientBurst = 50, 100   // of one API key
	addressPerFiveMinutes   = 15000     // of one address: 50 a second, as of one key
)

// An API is the fourth stack: the HTTP interface.
type API struct {
	stack awscdk.Stack
	rest  awsapigateway.CfnRestApi
}

func newAPI(app awscdk.App, c Config, db *Database, saga *Saga, contract []byte) (*API, error) {
	a := &API{stack: newStack(app, c, "CloudFlowApiStack", "api", "CloudFlow: the HTTP interface")}
	g := gateway{origins: c.Origins, name: c.name("api")}
	lambdas := map[string]awslambda.IFunction{}
	for _, name := range []string{orderHandler, inventoryHandler, paymentHandler} {
		lambdas[name] = saga.functions[name]
	}
	if c.Auth == "jwt" {
		lambdas[authorizer] = a.newAuthorizer(c, db)
		g.authorize = a.invocation(lambdas[authorizer])
	}
	g.invoke = func(name string) string { return a.invocation(lambdas[name]) }
	document, err := importable(contract, g)
	if err != nil {
		return nil, err
	}
	a.rest = awsapigateway.NewCfnRestApi(a.stack, str("Api"), &awsapigateway.CfnRestApiProps{
		Name: str(c.name("api")), Description: str("CloudFlow's HTTP interface, of api/openapi.yaml"), Body: document,
		EndpointConfiguration: &awsapigateway.CfnRestApi_EndpointConfigurationProperty{Types: strs("REGIONAL")},
		ApiKeySourceType:      str("HEADER"),
	})
	for name, fn := range lambdas {
		source := "/*/*/*" // stage, method, path
		if name == authorizer {
			source = "/authorizers/*"
		}
		awslambda.NewCfnPermission(a.stack, str(camel(name)+"Permission"), &awslambda.CfnPermissionProps{
			Action: str("lambda:InvokeFunction"), FunctionName: fn.FunctionArn(), Principal: str("apigateway.amazonaws.com"),
			SourceArn: str(arn(a.stack, "execute-api", *a.rest.Ref()+source)),
		})
	}
	stage, err := a.newStage(c, db, contract)
	if err != nil {
		return nil, err
	}
	a.newClients(c, stage)
	a.newFirewall(c, stage)
	output(a.stack, "ApiUrl", str("https://"+*a.rest.Ref()+".execute-api."+*a.stack.Region()+"."+*a.stack.UrlSuffix()+"/"+c.Stage), "The HTTP interface")
	output(a.stack, "ApiId", a.rest.Ref(), "The HTTP interface's id")
	output(a.stack, "ApiAuth", &c.Auth, "How callers prove who they are: jwt, with an API key, or none")
	output(a.stack, "OrderServiceFunctionArn", saga.functions[orderHandler].FunctionArn(), "The order service")
	return a, nil
}

func (a *API) newAuthorizer(c Config, db *Database) awslambda.Function {
	env := map[string]string{"CLOUDFLOW_AUTH": c.Auth}
	for name, value := range map[string]string{
		"CLOUDFLOW_JWT_ISSUER": c.JWTIssuer, "CLOUDFLOW_JWT_AUDIENCE": c.JWTAudience, "CLOUDFLOW_JWT_KEYS": c.JWTKeys,
	} {
		if value != "" {
			env[name] = value
		}
	}
	return functions{a.stack, c, db}.add(function{
		name: authorizer, does: "Verifies the callers' tokens", timeout: 10 * time.Second, memory: 256, env: env,
	})
}

// invocation is the address at which API Gateway invokes a function.
func (a *API) invocation(fn awslambda.IFunction) string {
	return "arn:" + *a.stack.Partition() + ":apigateway:" + *a.stack.Region() + ":lambda:path/2015-03-31/functions/" + *fn.FunctionArn() + "/invocations"
}

// newStage deploys the document. A deployment is a snapshot, so it is a new one for each document: its name has the document's hash, made with
// names in the place of CDK's tokens, which are other ones in each synthesis.
func (a *API) newStage(c Config, db *Database, contract []byte) (awsapigateway.CfnStage, error) {
	named := gateway{origins: c.Origins, name: c.name("api"), invoke: func(f string) string { return f }}
	if c.Auth == "jwt" {
		named.authorize = authorizer
	}
	document, err := importable(contract, named)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(*text(document)))
	deployment := awsapigateway.NewCfnDeployment(a.stack, str("Deployment"+hex.EncodeToString(sum[:5])), &awsapigateway.CfnDeploymentProps{
		RestApiId: a.rest.Ref(),
	})
	logs := newLogGroup(a.stack, "AccessLog", accessLog(c), db.logsKey)
	stage := awsapigateway.NewCfnStage(a.stack, str("Stage"), &awsapigateway.CfnStageProps{
		RestApiId: a.rest.Ref(), DeploymentId: deployment.Ref(), StageName: &c.Stage, TracingEnabled: yes,
		AccessLogSetting: &awsapigateway.CfnStage_AccessLogSettingProperty{DestinationArn: logGroupARN(a.stack, accessLog(c)), Format: accessFormat()},
		MethodSettings: &[]any{&awsapigateway.CfnStage_MethodSettingProperty{
			ResourcePath: str("/*"), HttpMethod: str("*"),
			ThrottlingRateLimit: num(stageRate), ThrottlingBurstLimit: num(stageBurst),
			MetricsEnabled: yes,
			LoggingLevel:   str("ERROR"),
			// Requests and answers in full would be contact data in a log.
			DataTraceEnabled: no,
		}},
	})
	stage.Node().AddDependency(logs, a.letLog())
	return stage, nil
}

func accessLog(c Config) string { return "/aws/apigateway/" + c.name("api") }

// accessFormat says of each call what happened and who called. Not from where: an address is personal data, and the firewall counts by it without a
// log.
func accessFormat() *string {
	return text(map[string]any{
		"requestId": "$context.requestId", "requestTime": "$context.requestTime", "method": "$context.httpMethod",
		"route": "$context.resourcePath", "status": "$context.status", "responseLength": "$context.responseLength",
		"latencyMs": "$context.responseLatency", "integrationLatencyMs": "$context.integrationLatency",
		"integrationError": "$context.integration.error", "principal": "$context.authorizer.principalId",
		"apiKeyId": "$context.identity.apiKeyId", "waf": "$context.waf.status", "error": "$context.error.responseType",
		"traceId": "$context.xrayTraceId",
	})
}

// letLog lets API Gateway write logs. This is one setting for the account and region, which all stages make alike; it stays when one of them goes.
func (a *API) letLog() awsapigateway.CfnAccount {
	role := awsiam.NewRole(a.stack, str("GatewayLogsRole"), &awsiam.RoleProps{
		AssumedBy: awsiam.NewServicePrincipal(str("apigateway.amazonaws.com"), nil),
		ManagedPolicies: &[]awsiam.IManagedPolicy{
			awsiam.ManagedPolicy_FromAwsManagedPolicyName(str("service-role/AmazonAPIGatewayPushToCloudWatchLogs")),
		},
	})
	role.ApplyRemovalPolicy(awscdk.RemovalPolicy_RETAIN)
	account := awsapigateway.NewCfnAccount(a.stack, str("GatewayAccount"), &awsapigateway.CfnAccountProps{CloudWatchRoleArn: role.RoleArn()})
	account.ApplyRemovalPolicy(awscdk.RemovalPolicy_RETAIN, nil)
	return account
}

// newClients makes an API key for each client, and the plan that says how much each may ask. Who a caller is, a token says: a key is no secret of a
// customer's, but names the application.
func (a *API) newClients(c Config, stage awsapigateway.CfnStage) {
	plan := awsapigateway.NewCfnUsagePlan(a.stack, str("Clients"), &awsapigateway.CfnUsagePlanProps{
		UsagePlanName: str(c.name("clients")),
		Description:   str("How much the holder of one API key may ask"),
		ApiStages:     &[]any{&awsapigateway.CfnUsagePlan_ApiStageProperty{ApiId: a.rest.Ref(), Stage: stage.Ref()}},
		Throttle:      &awsapigateway.CfnUsagePlan_ThrottleSettingsProperty{RateLimit: num(clientRate), BurstLimit: num(clientBurst)},
	})
	for i, client := range c.Clients {
		key := awsapigateway.NewCfnApiKey(a.stack, str("Key"+camel(client)), &awsapigateway.CfnApiKeyProps{
			Name: str(c.name("client-" + client)), Description: str("Of CloudFlow's client " + client), Enabled: yes,
		})
		awsapigateway.NewCfnUsagePlanKey(a.stack, str("PlanOf"+camel(client)), &awsapigateway.CfnUsagePlanKeyProps{
			KeyId: key.Ref(), KeyType: str("API_KEY"), UsagePlanId: plan.Ref(),
		})
		if i == 0 {
			output(a.stack, "ApiKeyId", key.Ref(), "The id of the API key of "+client)
		}
	}
}

// newFirewall puts a firewall before the stage.
func (a *API) newFirewall(c Config, stage awsapigateway.CfnStage) {
	seen := func(name string) *awswafv2.CfnWebACL_VisibilityConfigProperty {
		return &awswafv2.CfnWebACL_VisibilityConfigProperty{
			CloudWatchMetricsEnabled: yes, MetricName: str(c.name(name)),
			SampledRequestsEnabled: no, // a sample has headers and addresses in it
		}
	}
	managed := func(priority float64, name string, excepted ...string) *awswafv2.CfnWebACL_RuleProperty {
		var overrides []any
		for _, rule := range excepted {
			overrides = append(overrides, &awswafv2.CfnWebACL_RuleActionOverrideProperty{
				Name: &rule, ActionToUse: &awswafv2.CfnWebACL_RuleActionProperty{Count: map[string]any{}},
			})
		}
		group := &awswafv2.CfnWebACL_ManagedRuleGroupStatementProperty{VendorName: str("AWS"), Name: &name}
		if len(overrides) > 0 {
			group.RuleActionOverrides = &overrides
		}
		return &awswafv2.CfnWebACL_RuleProperty{
			Name: &name, Priority: &priority, VisibilityConfig: seen(name),
			OverrideAction: &awswafv2.CfnWebACL_OverrideActionProperty{None: map[string]any{}},
			Statement:      &awswafv2.CfnWebACL_StatementProperty{ManagedRuleGroupStatement: group},
		}
	}
	firewall := awswafv2.NewCfnWebACL(a.stack, str("Firewall"), &awswafv2.CfnWebACLProps{
		Name: str(c.name("api")), Scope: str("REGIONAL"), VisibilityConfig: seen("firewall"),
		DefaultAction: &awswafv2.CfnWebACL_DefaultActionProperty{Allow: map[string]any{}},
		Rules: &[]any{
			&awswafv2.CfnWebACL_RuleProperty{
				Name: str("address-rate"), Priority: num(0), VisibilityConfig: seen("address-rate"),
				Action: &awswafv2.CfnWebACL_RuleActionProperty{Block: map[string]any{}},
				Statement: &awswafv2.CfnWebACL_StatementProperty{RateBasedStatement: &awswafv2.CfnWebACL_RateBasedStatementProperty{
					AggregateKeyType: str("IP"), Limit: num(addressPerFiveMinutes), EvaluationWindowSec: num(300),
				}},
			},
			// A body may be 64 KiB by the contract, and the group would block it from 8 KiB on. And callers are programs, which need not say which.
			managed(1, "AWSManagedRulesCommonRuleSet", "SizeRestrictions_BODY", "NoUserAgent_HEADER"),
			managed(2, "AWSManagedRulesKnownBadInputsRuleSet"),
		},
		// All of what a body may be is looked at.
		AssociationConfig: &awswafv2.CfnWebACL_AssociationConfigProperty{RequestBody: map[string]any{
			"API_GATEWAY": &awswafv2.CfnWebACL_RequestBodyAssociatedResourceTypeConfigProperty{DefaultSizeInspectionLimit: str("KB_64")},
		}},
	})
	association := awswafv2.NewCfnWebACLAssociation(a.stack, str("FirewallOfStage"), &awswafv2.CfnWebACLAssociationProps{
		WebAclArn:   firewall.AttrArn(),
		ResourceArn: str("arn:" + *a.stack.Partition() + ":apigateway:" + *a.stack.Region() + "::/restapis/" + *a.rest.Ref() + "/stages/" + c.Stage),
	})
	association.Node().AddDependency(stage)
}
