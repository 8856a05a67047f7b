// Package compat tests the emulator with the AWS SDK for Go v2.
package compat

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
)

const (
	account = "111122223333"
	region  = "eu-central-1"
)

var (
	emulator        = os.Getenv("EMULATOR_URL")
	ctx             = context.Background()
	source          = &types.SourceConfiguration{ImageRepository: &types.ImageRepository{ImageIdentifier: aws.String("example/web:1"), ImageRepositoryType: types.ImageRepositoryTypeEcr}}
	noSuchConnector = fmt.Sprintf("arn:aws:apprunner:%s:%s:vpcconnector/none/1/%s", region, account, strings.Repeat("0", 32))
	uuid            = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
)

// fresh resets the emulator and returns a client that does not retry.
func fresh(t *testing.T) *apprunner.Client {
	control(t, "POST", "reset", nil, nil)
	return client(1, "not-a-secret", http.DefaultClient)
}

func config(attempts int, secret string, transport aws.HTTPClient) aws.Config {
	return aws.Config{
		Region:       region,
		BaseEndpoint: aws.String(emulator),
		Credentials:  credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", secret, ""),
		HTTPClient:   transport,
		Retryer: func() aws.Retryer {
			return retry.NewStandard(func(options *retry.StandardOptions) {
				options.MaxAttempts = attempts
				options.MaxBackoff = 10 * time.Millisecond
			})
		},
	}
}

func client(attempts int, secret string, transport aws.HTTPClient) *apprunner.Client {
	return apprunner.NewFromConfig(config(attempts, secret, transport))
}

// control asks the control API.
func control(t *testing.T, method, path string, body, answer any) {
	t.Helper()
	sent, err := json.Marshal(body)
	must(t, err)
	request, err := http.NewRequest(method, emulator+"/_emulator/"+path, bytes.NewReader(sent))
	must(t, err)
	response, err := http.DefaultClient.Do(request)
	must(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	must(t, err)
	if response.StatusCode >= 300 {
		t.Fatalf("%s: %d %s", path, response.StatusCode, text)
	}
	if answer != nil {
		must(t, json.Unmarshal(text, answer))
	}
}

func fault(t *testing.T, kind any, count int, operation string) {
	t.Helper()
	control(t, "POST", "faults", map[string]any{"kind": kind, "count": count, "operation": operation}, nil)
}

// statuses gives those of all calls of an operation; a connection that was closed has none.
func statuses(t *testing.T, operation string) []int {
	t.Helper()
	var log struct{ Calls []struct{ Status int } }
	control(t, "GET", "calls?operation="+operation, nil, &log)
	found := []int{}
	for _, call := range log.Calls {
		found = append(found, call.Status)
	}
	return found
}

func create(c *apprunner.Client, name string) (*types.VpcConnector, error) {
	made, err := c.CreateVpcConnector(ctx, &apprunner.CreateVpcConnectorInput{VpcConnectorName: &name, Subnets: []string{"subnet-1"}})
	if err != nil {
		return nil, err
	}
	return made.VpcConnector, nil
}

func through(connector string) *types.NetworkConfiguration {
	return &types.NetworkConfiguration{EgressConfiguration: &types.EgressConfiguration{EgressType: types.EgressTypeVpc, VpcConnectorArn: &connector}}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func same[T any](t *testing.T, found, expected T) {
	t.Helper()
	one, two := fmt.Sprintf("%#v", found), fmt.Sprintf("%#v", expected)
	if one != two {
		t.Fatalf("%s is not %s", one, two)
	}
}

func justNow(t *testing.T, at *time.Time) {
	t.Helper()
	if at == nil || time.Since(*at).Abs() > time.Minute {
		t.Fatalf("%v is not now", at)
	}
}

func TestConnectorIsCreatedListedAndDeleted(t *testing.T) {
	c := fresh(t)
	made, err := c.CreateVpcConnector(ctx, &apprunner.CreateVpcConnectorInput{
		VpcConnectorName: aws.String("shop"), Subnets: []string{"subnet-1"}, SecurityGroups: []string{"sg-1"},
	})
	must(t, err)
	arn := made.VpcConnector.VpcConnectorArn
	if !strings.HasPrefix(*arn, fmt.Sprintf("arn:aws:apprunner:%s:%s:vpcconnector/shop/1/", region, account)) {
		t.Fatal(*arn)
	}
	same(t, made.VpcConnector.Status, types.VpcConnectorStatusActive)
	same(t, made.VpcConnector.SecurityGroups, []string{"sg-1"})
	justNow(t, made.VpcConnector.CreatedAt)
	listed, err := c.ListVpcConnectors(ctx, &apprunner.ListVpcConnectorsInput{})
	must(t, err)
	same(t, len(listed.VpcConnectors), 1)

	deleted, err := c.DeleteVpcConnector(ctx, &apprunner.DeleteVpcConnectorInput{VpcConnectorArn: arn})
	must(t, err)
	same(t, deleted.VpcConnector.Status, types.VpcConnectorStatusInactive)
	justNow(t, deleted.VpcConnector.DeletedAt)
	shown, err := c.DescribeVpcConnector(ctx, &apprunner.DescribeVpcConnectorInput{VpcConnectorArn: arn})
	must(t, err)
	same(t, shown.VpcConnector.Status, types.VpcConnectorStatusInactive)
}

func TestTagsAreAddedRemovedAndListed(t *testing.T) {
	c := fresh(t)
	made, err := create(c, "shop")
	must(t, err)
	arn := made.VpcConnectorArn
	tags := []types.Tag{{Key: aws.String("team"), Value: aws.String("web")}, {Key: aws.String("ümlaut"), Value: aws.String("")}}
	_, err = c.TagResource(ctx, &apprunner.TagResourceInput{ResourceArn: arn, Tags: tags})
	must(t, err)
	_, err = c.UntagResource(ctx, &apprunner.UntagResourceInput{ResourceArn: arn, TagKeys: []string{"team"}})
	must(t, err)
	left, err := c.ListTagsForResource(ctx, &apprunner.ListTagsForResourceInput{ResourceArn: arn})
	must(t, err)
	same(t, len(left.Tags), 1)
	same(t, *left.Tags[0].Key+"="+*left.Tags[0].Value, "ümlaut=")
}

func TestServiceBlocksItsConnectorUntilItIsDeleted(t *testing.T) {
	c := fresh(t)
	connector, err := create(c, "shop")
	must(t, err)
	arn := *connector.VpcConnectorArn
	made, err := c.CreateService(ctx, &apprunner.CreateServiceInput{
		ServiceName: aws.String("web1"), SourceConfiguration: source, NetworkConfiguration: through(arn),
	})
	must(t, err)
	if !uuid.MatchString(*made.OperationId) {
		t.Fatal(*made.OperationId)
	}
	service := made.Service.ServiceArn
	shown := func() *types.Service {
		described, err := c.DescribeService(ctx, &apprunner.DescribeServiceInput{ServiceArn: service})
		must(t, err)
		return described.Service
	}
	same(t, *shown().NetworkConfiguration.EgressConfiguration.VpcConnectorArn, arn)
	justNow(t, shown().CreatedAt)

	_, err = c.DeleteVpcConnector(ctx, &apprunner.DeleteVpcConnectorInput{VpcConnectorArn: &arn})
	var refused *types.InvalidRequestException
	if !errors.As(err, &refused) {
		t.Fatal(err)
	}
	same(t, refused.ErrorMessage(), "Provided VPC connector arn is being used by other services. ARN:  "+arn)

	_, err = c.PauseService(ctx, &apprunner.PauseServiceInput{ServiceArn: service})
	must(t, err)
	same(t, shown().Status, types.ServiceStatusPaused)
	_, err = c.ResumeService(ctx, &apprunner.ResumeServiceInput{ServiceArn: service})
	must(t, err)
	_, err = c.UpdateService(ctx, &apprunner.UpdateServiceInput{
		ServiceArn: service, InstanceConfiguration: &types.InstanceConfiguration{Cpu: aws.String("2048")},
	})
	must(t, err)
	same(t, *shown().InstanceConfiguration.Cpu+" "+*shown().InstanceConfiguration.Memory, "2048 2048")
	_, err = c.DeleteService(ctx, &apprunner.DeleteServiceInput{ServiceArn: service})
	must(t, err)
	same(t, shown().Status, types.ServiceStatusDeleted)
	_, err = c.DeleteVpcConnector(ctx, &apprunner.DeleteVpcConnectorInput{VpcConnectorArn: &arn})
	must(t, err)
}

func TestConnectorsAndServicesAreListedInPages(t *testing.T) {
	c := fresh(t)
	names := []string{"shop-0", "shop-1", "shop-2", "shop-3", "shop-4"}
	for _, name := range names {
		_, err := create(c, name)
		must(t, err)
		_, err = c.CreateService(ctx, &apprunner.CreateServiceInput{ServiceName: aws.String(name), SourceConfiguration: source})
		must(t, err)
	}
	for _, size := range []int32{1, 2, 5} {
		var found []string
		connectors := apprunner.NewListVpcConnectorsPaginator(c, &apprunner.ListVpcConnectorsInput{MaxResults: &size})
		for connectors.HasMorePages() {
			page, err := connectors.NextPage(ctx)
			must(t, err)
			for _, one := range page.VpcConnectors {
				found = append(found, *one.VpcConnectorName)
			}
		}
		slices.Sort(found)
		same(t, found, names)
		found = nil
		services := apprunner.NewListServicesPaginator(c, &apprunner.ListServicesInput{MaxResults: &size})
		for services.HasMorePages() {
			page, err := services.NextPage(ctx)
			must(t, err)
			for _, one := range page.ServiceSummaryList {
				found = append(found, *one.ServiceName)
			}
		}
		slices.Sort(found)
		same(t, found, names)
	}
	first, err := c.ListServices(ctx, &apprunner.ListServicesInput{MaxResults: aws.Int32(2), NextToken: aws.String("")})
	must(t, err)
	same(t, len(first.ServiceSummaryList), 2)
}

func is[E error](t *testing.T, err error) {
	t.Helper()
	var typed E
	if !errors.As(err, &typed) {
		t.Fatalf("%v is no %T", err, typed)
	}
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorMessage() == "" {
		t.Fatalf("%v has no words of AWS's", err)
	}
}

func TestErrorsHaveTheTypesOfTheSDK(t *testing.T) {
	c := fresh(t)
	describe := func(arn string) error {
		_, err := c.DescribeVpcConnector(ctx, &apprunner.DescribeVpcConnectorInput{VpcConnectorArn: &arn})
		return err
	}
	is[*types.ResourceNotFoundException](t, describe(noSuchConnector))
	is[*types.InvalidRequestException](t, describe("nonsense"))

	made, err := c.CreateService(ctx, &apprunner.CreateServiceInput{ServiceName: aws.String("web1"), SourceConfiguration: source})
	must(t, err)
	_, err = c.ResumeService(ctx, &apprunner.ResumeServiceInput{ServiceArn: made.Service.ServiceArn})
	is[*types.InvalidStateException](t, err)
	_, err = c.CreateService(ctx, &apprunner.CreateServiceInput{
		ServiceName: aws.String("web2"), SourceConfiguration: source,
		NetworkConfiguration: through(strings.Replace(noSuchConnector, account, "999999999999", 1)),
	})
	is[*types.InvalidRequestException](t, err)
	for number := range 10 {
		_, err = create(c, fmt.Sprintf("shop-%d", number))
		must(t, err)
	}
	_, err = create(c, "one-too-many")
	is[*types.ServiceQuotaExceededException](t, err)

	fault(t, "internal_error_before_effect", 1, "DescribeVpcConnector")
	is[*types.InternalServiceErrorException](t, describe(noSuchConnector))

	_, err = client(1, "wrong", http.DefaultClient).ListServices(ctx, &apprunner.ListServicesInput{})
	var api smithy.APIError
	if !errors.As(err, &api) {
		t.Fatal(err)
	}
	same(t, api.ErrorCode(), "InvalidSignatureException")
}

func TestOnlyTransientFailuresAreRetried(t *testing.T) {
	patient := client(3, "not-a-secret", http.DefaultClient)
	for _, kind := range []any{"internal_error_before_effect", map[string]any{"throttling": map[string]any{}}, "closed_before_effect"} {
		fresh(t)
		fault(t, kind, 2, "ListVpcConnectors")
		_, err := patient.ListVpcConnectors(ctx, &apprunner.ListVpcConnectorsInput{})
		must(t, err)
		same(t, len(statuses(t, "ListVpcConnectors")), 3)
	}
	_, err := patient.DeleteVpcConnector(ctx, &apprunner.DeleteVpcConnectorInput{VpcConnectorArn: &noSuchConnector})
	is[*types.ResourceNotFoundException](t, err)
	same(t, statuses(t, "DeleteVpcConnector"), []int{400})
}

// misled answers with the time of another clock, once.
type misled struct{ by time.Duration }

func (m *misled) Do(request *http.Request) (*http.Response, error) {
	response, err := http.DefaultClient.Do(request)
	if err == nil && m.by != 0 {
		response.Header.Set("Date", time.Now().Add(m.by).UTC().Format(http.TimeFormat))
		m.by = 0
	}
	return response, err
}

// After a wrong date the SDK signs for the wrong time, the emulator rejects the request, and the SDK corrects its clock.
func TestWrongClockIsCorrectedFromTheDateOfTheError(t *testing.T) {
	for _, by := range []time.Duration{-time.Hour, time.Hour} {
		fresh(t)
		skewed := client(2, "not-a-secret", &misled{by})
		for range 3 {
			_, err := skewed.ListVpcConnectors(ctx, &apprunner.ListVpcConnectorsInput{})
			must(t, err)
		}
		same(t, statuses(t, "ListVpcConnectors"), []int{200, 403, 200, 200})
	}
}

func TestSTSReturnsTheIdentityOfTheCaller(t *testing.T) {
	fresh(t)
	identity, err := sts.NewFromConfig(config(1, "not-a-secret", http.DefaultClient)).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	must(t, err)
	same(t, *identity.Account, account)
	same(t, *identity.Arn, fmt.Sprintf("arn:aws:iam::%s:user/AKIDEXAMPLE", account))
}
