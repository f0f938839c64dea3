// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	clusterpb "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointpb "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerpb "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routepb "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	routerpb "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	managerpb "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	adspb "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	xdsserver "github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"golang.org/x/net/dns/dnsmessage"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/program"
)

const fleet = "fleet.Service"

// backendMain is a server of the fleet: it writes down each call that it begins. It ends as
// such servers do: after SIGTERM when its calls have ended.
func backendMain(address, journal string) {
	began, err := os.OpenFile(journal, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	work := func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		id := new(wrapperspb.Int64Value)
		if err := decode(id); err != nil {
			return nil, err
		}
		fmt.Fprintln(began, id.Value) // in the file before the call goes on, whatever kills the process
		time.Sleep(2 * time.Millisecond)
		return wrapperspb.String(address), nil
	}
	server := grpc.NewServer()
	server.RegisterService(&grpc.ServiceDesc{ServiceName: fleet, HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Work", Handler: work}}}, nil)
	l, err := net.Listen("tcp", address)
	if err != nil {
		panic(err)
	}
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	context.AfterFunc(stop, server.GracefulStop)
	fmt.Println("listening on", address)
	if err := server.Serve(l); err != nil {
		panic(err)
	}
}

// A backend is a server of the fleet in a process of its own.
type backend struct {
	*program.Process
	address, journal string
}

func startBackend(t *testing.T, address string) *backend {
	t.Helper()
	b := &backend{address: address, journal: t.TempDir() + "/began"}
	b.Process = program.Start(t, "backend", address, b.journal)
	b.Await(t, "listening")
	return b
}

// began returns the calls that a backend has begun.
func (b *backend) began(t *testing.T) map[int64]bool {
	t.Helper()
	f, err := os.Open(b.journal)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ids := map[int64]bool{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		id, err := strconv.ParseInt(lines.Text(), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		ids[id] = true
	}
	return ids
}

// freePort returns a port that is free on several addresses.
func freePort(t *testing.T, hosts ...string) string {
	t.Helper()
	port := "0"
	for _, host := range hosts {
		l, err := net.Listen("tcp", net.JoinHostPort(host, port))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		_, port, _ = net.SplitHostPort(l.Addr().String())
	}
	return port
}

// A load is callers that call one after the other, each call with a number of its own.
type load struct {
	client *ttrpc.Client
	stop   chan struct{}
	wg     sync.WaitGroup

	mu       sync.Mutex
	next     int64
	answers  map[string]int  // by backend
	failures map[int64]error // by call
	moved    *sync.Cond      // of mu: a call has ended
}

const callers = 16

// startLoad starts callers whose calls have the numbers after first.
func startLoad(t *testing.T, socket string, first int64) *load {
	t.Helper()
	client, err := ttrpc.Dial("unix:"+socket, ttrpc.WithExtensions())
	if err != nil {
		t.Fatal(err)
	}
	w := &load{client: client, stop: make(chan struct{}), next: first, answers: map[string]int{}, failures: map[int64]error{}}
	w.moved = sync.NewCond(&w.mu)
	for range callers {
		w.wg.Go(w.run)
	}
	t.Cleanup(func() { w.end(); client.Close(); <-client.Done() })
	return w
}

func (w *load) run() {
	for {
		select {
		case <-w.stop:
			return
		default:
		}
		w.mu.Lock()
		w.next++
		id := w.next
		w.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		answer := new(wrapperspb.StringValue)
		err := w.client.Call(ctx, fleet, "Work", wrapperspb.Int64(id), answer)
		cancel()
		w.mu.Lock()
		if err != nil {
			w.failures[id] = err
		} else {
			w.answers[answer.Value]++
		}
		w.moved.Broadcast()
		w.mu.Unlock()
	}
}

// end stops the callers, once.
func (w *load) end() {
	w.mu.Lock()
	select {
	case <-w.stop:
	default:
		close(w.stop)
	}
	w.mu.Unlock()
	w.wg.Wait()
}

// await waits until each of some backends has answered n more calls.
func (w *load) await(n int, backends ...*backend) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, b := range backends {
		for want := w.answers[b.address] + n; w.answers[b.address] < want; {
			w.moved.Wait()
		}
	}
}

// lost returns how many calls have failed so far, and wants them to be Unavailable.
func (w *load) lost(t *testing.T) []int64 {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	var lost []int64
	for id, err := range w.failures {
		lost = append(lost, id)
		if status.Code(err) != codes.Unavailable {
			t.Errorf("call %d: %v", id, err)
		}
	}
	return lost
}

// bridgeTo starts a bridge from a new socket to a target.
func bridgeTo(t *testing.T, target string, flags ...string) (socket string, _ *program.Process) {
	t.Helper()
	socket = shortDir(t) + "/s"
	p := program.Start(t, append([]string{"ttrpc", "-listen", "unix:" + socket, "-to", target, "-method", fleet + "/*=unary", "-reflection=false"}, flags...)...)
	p.Await(t, "listening on")
	return socket, p
}

// retrying is a service config for services whose calls may run twice.
const retrying = `{"loadBalancingConfig":[{"round_robin":{}}],"methodConfig":[{"name":[{}],"retryPolicy":{"maxAttempts":4,` +
	`"initialBackoff":"0.01s","maxBackoff":"0.1s","backoffMultiplier":2,"retryableStatusCodes":["UNAVAILABLE"]}}]}`

// TestFleetByDNS is the how-to of docs/bridge.md: callers on a socket, three servers behind a
// name, one of which is stopped and one killed, under load.
func TestFleetByDNS(t *testing.T) {
	hosts := []string{"127.0.0.1", "127.0.0.2", "127.0.0.3"}
	port := freePort(t, hosts...)
	var backends []*backend
	for _, host := range hosts {
		backends = append(backends, startBackend(t, net.JoinHostPort(host, port)))
	}
	target := fmt.Sprintf("dns://%s/backends.test:%s", serveDNS(t, "backends.test.", hosts), port)
	once, process := bridgeTo(t, target)
	again, _ := bridgeTo(t, target, "-service-config", retrying)
	plain, retries := startLoad(t, once, 0), startLoad(t, again, 1_000_000)
	for _, w := range []*load{plain, retries} {
		w.await(20, backends...)
	}
	stopped, killed, left := backends[0], backends[1], backends[2]
	stopped.Signal(t, syscall.SIGTERM)
	if code := stopped.Wait(); code != 0 {
		t.Fatalf("the server that was stopped: %d\n%s", code, stopped.Stderr())
	}
	for _, w := range []*load{plain, retries} {
		w.await(20, killed, left)
		if lost := w.lost(t); len(lost) != 0 {
			t.Errorf("%d calls were lost when a server was stopped in order", len(lost))
		}
	}
	killed.Signal(t, syscall.SIGKILL)
	killed.Wait()
	for _, w := range []*load{plain, retries} {
		w.await(100, left)
		w.end()
	}
	if lost := retries.lost(t); len(lost) != 0 {
		t.Errorf("%d calls were lost that may be repeated", len(lost))
	}
	lost, began, journal := plain.lost(t), 0, killed.began(t)
	for _, id := range lost {
		if journal[id] {
			began++
		}
	}
	if len(lost) > callers {
		t.Errorf("%d calls were lost, and no more than %d can have been at the server that was killed", len(lost), callers)
	}
	t.Logf("of %d calls, none of which is repeated, %d were lost with the server that was killed, which had begun %d of them; of %d that may be repeated, none",
		plain.next, len(lost), began, retries.next-1_000_000)
	process.Signal(t, syscall.SIGTERM)
	if code := process.Wait(); code != exitOK {
		t.Errorf("the bridge ended with %d\n%s", code, process.Stderr())
	}
}

// serveDNS serves the addresses of one name until the test ends, and returns where.
func serveDNS(t *testing.T, name string, hosts []string) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { conn.Close(); <-done })
	go func() {
		defer close(done)
		query := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(query)
			if err != nil {
				return
			}
			if answer, err := answerDNS(query[:n], name, hosts); err == nil {
				_, _ = conn.WriteTo(answer, from)
			}
		}
	}()
	return conn.LocalAddr().String()
}

// answerDNS answers a query for addresses of a name. No other name exists.
func answerDNS(query []byte, name string, hosts []string) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil {
		return nil, err
	}
	m.Response, m.Authoritative, m.Additionals = true, true, nil
	q := m.Questions[0]
	if q.Name.String() != name {
		m.RCode = dnsmessage.RCodeNameError
		return m.Pack()
	}
	if q.Type == dnsmessage.TypeA {
		for _, host := range hosts {
			m.Answers = append(m.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 1},
				Body:   &dnsmessage.AResource{A: [4]byte(net.ParseIP(host).To4())},
			})
		}
	}
	return m.Pack()
}

// A controlPlane tells a bridge by xds of the servers that there are.
type controlPlane struct {
	cache   cache.SnapshotCache
	version int
}

// startControlPlane serves a control plane, and has the programs that the test starts use it.
func startControlPlane(t *testing.T) *controlPlane {
	t.Helper()
	c := &controlPlane{cache: cache.NewSnapshotCache(true, cache.IDHash{}, nil)}
	ctx, cancel := context.WithCancel(context.Background())
	server := grpc.NewServer()
	adspb.RegisterAggregatedDiscoveryServiceServer(server, xdsserver.NewServer(ctx, c.cache, nil))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() { cancel(); server.Stop(); <-served })
	t.Setenv("GRPC_XDS_BOOTSTRAP_CONFIG", fmt.Sprintf(
		`{"xds_servers":[{"server_uri":%q,"channel_creds":[{"type":"insecure"}],"server_features":["xds_v3"]}],"node":{"id":"bridge"}}`, l.Addr()))
	return c
}

// set says which servers there are.
func (c *controlPlane) set(t *testing.T, backends ...*backend) {
	t.Helper()
	c.version++
	ads := &corepb.ConfigSource{ResourceApiVersion: corepb.ApiVersion_V3, ConfigSourceSpecifier: &corepb.ConfigSource_Ads{Ads: new(corepb.AggregatedConfigSource)}}
	manager := pack(t, &managerpb.HttpConnectionManager{
		RouteSpecifier: &managerpb.HttpConnectionManager_Rds{Rds: &managerpb.Rds{ConfigSource: ads, RouteConfigName: "route"}},
		HttpFilters:    []*managerpb.HttpFilter{{Name: "router", ConfigType: &managerpb.HttpFilter_TypedConfig{TypedConfig: pack(t, new(routerpb.Router))}}},
	})
	all := &routepb.RouteMatch{PathSpecifier: &routepb.RouteMatch_Prefix{Prefix: ""}}
	to := &routepb.Route_Route{Route: &routepb.RouteAction{ClusterSpecifier: &routepb.RouteAction_Cluster{Cluster: "cluster"}}}
	endpoints := new(endpointpb.LocalityLbEndpoints)
	for _, b := range backends {
		host, port, _ := net.SplitHostPort(b.address)
		n, _ := net.LookupPort("tcp", port)
		at := &corepb.SocketAddress{Address: host, PortSpecifier: &corepb.SocketAddress_PortValue{PortValue: uint32(n)}}
		endpoints.LbEndpoints = append(endpoints.LbEndpoints, &endpointpb.LbEndpoint{HostIdentifier: &endpointpb.LbEndpoint_Endpoint{
			Endpoint: &endpointpb.Endpoint{Address: &corepb.Address{Address: &corepb.Address_SocketAddress{SocketAddress: at}}}}})
	}
	endpoints.Locality, endpoints.LoadBalancingWeight = &corepb.Locality{Region: "here"}, wrapperspb.UInt32(1)
	snapshot, err := cache.NewSnapshot(fmt.Sprint(c.version), map[resource.Type][]types.Resource{
		resource.ListenerType: {&listenerpb.Listener{Name: "backends", ApiListener: &listenerpb.ApiListener{ApiListener: manager}}},
		resource.RouteType: {&routepb.RouteConfiguration{Name: "route",
			VirtualHosts: []*routepb.VirtualHost{{Name: "all", Domains: []string{"*"}, Routes: []*routepb.Route{{Match: all, Action: to}}}}}},
		resource.ClusterType: {&clusterpb.Cluster{Name: "cluster",
			ClusterDiscoveryType: &clusterpb.Cluster_Type{Type: clusterpb.Cluster_EDS},
			EdsClusterConfig:     &clusterpb.Cluster_EdsClusterConfig{EdsConfig: ads}}},
		resource.EndpointType: {&endpointpb.ClusterLoadAssignment{ClusterName: "cluster", Endpoints: []*endpointpb.LocalityLbEndpoints{endpoints}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cache.SetSnapshot(context.Background(), "bridge", snapshot); err != nil {
		t.Fatal(err)
	}
}

func pack(t *testing.T, m proto.Message) *anypb.Any {
	t.Helper()
	packed, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return packed
}

// TestFleetByXDS has a service move from one host to three, and one of these be taken out in
// order, under load: no call is lost. Then one is killed.
func TestFleetByXDS(t *testing.T) {
	var backends []*backend
	for range 3 {
		backends = append(backends, startBackend(t, net.JoinHostPort("127.0.0.1", freePort(t, "127.0.0.1"))))
	}
	control := startControlPlane(t)
	control.set(t, backends[0])
	socket, _ := bridgeTo(t, "xds:///backends")
	w := startLoad(t, socket, 0)
	w.await(20, backends[0])
	control.set(t, backends...)
	w.await(20, backends...)
	control.set(t, backends[1:]...)
	backends[0].Signal(t, syscall.SIGTERM)
	if code := backends[0].Wait(); code != 0 {
		t.Fatalf("the server that was taken out: %d\n%s", code, backends[0].Stderr())
	}
	w.await(20, backends[1:]...)
	if lost := w.lost(t); len(lost) != 0 {
		t.Errorf("%d calls were lost when servers were added and one was taken out", len(lost))
	}
	backends[1].Signal(t, syscall.SIGKILL)
	backends[1].Wait()
	w.await(100, backends[2])
	w.end()
	lost := w.lost(t)
	if len(lost) > callers {
		t.Errorf("%d calls were lost, and no more than %d can have been at the server that was killed", len(lost), callers)
	}
	t.Logf("of %d calls %d were lost with the server that was killed", w.next, len(lost))
}
