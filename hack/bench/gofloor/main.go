// The Go floor: the plain loop that a controller in Go is at least.
//
// It watches the objects. For each deleted object one of 16 workers makes one plain HTTP call without a signature,
// patches the status and removes the finalizer. It keeps no state, retries nothing, logs nothing and publishes no Event.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	workers   = 16
	finalizer = "apprunner-operator.dev/finalizer"
	// The line that says that the objects are listed.
	ready = "ready"
)

var connectors = schema.GroupVersionResource{Group: "apprunner-operator.dev", Version: "v1alpha1", Resource: "vpcconnectors"}

type floor struct {
	objects dynamic.NamespaceableResourceInterface
	aws     *http.Client
	url     string
}

func main() {
	// It ends with the program that started it.
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return err
	}
	config.QPS = -1
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	f := &floor{
		objects: client.Resource(connectors),
		aws:     &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: workers}},
		url:     os.Getenv("AWS_ENDPOINT_URL"),
	}
	queue := make(chan *unstructured.Unstructured, 100_000)
	for range workers {
		go func() {
			for object := range queue {
				if err := f.delete(ctx, object); err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
			}
		}()
	}
	return f.watch(ctx, queue)
}

// watch queues each deleted object once. The API server ends a watch that cannot keep up; then it lists the objects again.
func (f *floor) watch(ctx context.Context, queue chan<- *unstructured.Unstructured) error {
	queued := map[types.UID]bool{}
	enqueue := func(object *unstructured.Unstructured) {
		deleting := object.GetDeletionTimestamp() != nil && len(object.GetFinalizers()) > 0
		if deleting && !queued[object.GetUID()] {
			queued[object.GetUID()] = true
			queue <- object
		}
	}
	for {
		version, err := f.list(ctx, enqueue)
		if err != nil {
			return err
		}
		watch, err := f.objects.Watch(ctx, metav1.ListOptions{ResourceVersion: version})
		if err != nil {
			return err
		}
		fmt.Println(ready)
		for event := range watch.ResultChan() {
			if object, ok := event.Object.(*unstructured.Unstructured); ok {
				enqueue(object)
			}
		}
	}
}

// list reads the objects in pages, and returns the version to watch from.
func (f *floor) list(ctx context.Context, enqueue func(*unstructured.Unstructured)) (string, error) {
	options := metav1.ListOptions{Limit: 500}
	for {
		page, err := f.objects.List(ctx, options)
		if err != nil {
			return "", err
		}
		for i := range page.Items {
			enqueue(&page.Items[i])
		}
		if page.GetContinue() == "" {
			return page.GetResourceVersion(), nil
		}
		options.Continue = page.GetContinue()
	}
}

type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

func (f *floor) delete(ctx context.Context, object *unstructured.Unstructured) error {
	arn, _, err := unstructured.NestedString(object.Object, "spec", "arn")
	if err != nil {
		return err
	}
	if err := f.deleteConnector(ctx, arn); err != nil {
		return err
	}
	same := operation{"test", "/metadata/uid", object.GetUID()}
	now := time.Now().UTC().Format(time.RFC3339)
	receipt := map[string]any{
		"arn": arn, "status": "INACTIVE", "deletedAt": now, "observedGeneration": object.GetGeneration(),
		"conditions": []map[string]any{{
			"type": "Ready", "status": "False", "reason": "Deleted", "lastTransitionTime": now,
			"message": "App Runner reports the connector INACTIVE",
		}},
	}
	if err := f.patch(ctx, object, []operation{same, {"add", "/status", receipt}}, "status"); err != nil {
		return err
	}
	entry := "/metadata/finalizers/0"
	return f.patch(ctx, object, []operation{same, {"test", entry, finalizer}, {Op: "remove", Path: entry}})
}

func (f *floor) deleteConnector(ctx context.Context, arn string) error {
	body, err := json.Marshal(map[string]string{"VpcConnectorArn": arn})
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, f.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	answer, err := f.aws.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("DeleteVpcConnector: %s", answer.Status)
	}
	return nil
}

func (f *floor) patch(ctx context.Context, object *unstructured.Unstructured, operations []operation, subresources ...string) error {
	body, err := json.Marshal(operations)
	if err != nil {
		return err
	}
	objects := f.objects.Namespace(object.GetNamespace())
	_, err = objects.Patch(ctx, object.GetName(), types.JSONPatchType, body, metav1.PatchOptions{}, subresources...)
	return err
}
