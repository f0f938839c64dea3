// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc/resolver"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/containerd/ttrpc/grpcttrpc/bridge"
)

// settings are what the program is told, and its log.
type settings struct {
	listen, to     string
	protosets      texts
	methods        bridge.Table
	reflection     bool
	limits         bridge.Limits
	connectTimeout time.Duration
	drainDelay     time.Duration
	drain          time.Duration
	metrics        string
	logCalls       bool

	tlsCert, tlsKey, tlsCA string
	tlsServer              string // of ttrpc only
	tls                    bool   // of ttrpc only
	serviceConfig          string // of ttrpc only
	sameUser               bool   // of ttrpc only
	tokenFile              string // of grpc only
	classic                bool   // of grpc only

	log *slog.Logger
}

// texts is a flag that may be given several times.
type texts []string

func (t *texts) String() string { return strings.Join(*t, ",") }

func (t *texts) Set(value string) error { *t = append(*t, value); return nil }

// table is the flag that says of which kind methods are.
type table struct{ bridge.Table }

func (table) String() string { return "" }

const balanceAll = `{"loadBalancingConfig":[{"round_robin":{}}]}`

// parse returns the settings for one of the commands. Help goes to out.
func parse(command string, args []string, out io.Writer) (*settings, error) {
	s := &settings{methods: bridge.Table{}}
	flags := flag.NewFlagSet("ttrpc-bridge "+command, flag.ContinueOnError)
	flags.SetOutput(io.Discard) // errors are told by who asks
	s.common(flags)
	if command == "grpc" {
		s.grpc(flags)
	} else {
		s.ttrpc(flags)
	}
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprintf(out, "Usage: ttrpc-bridge %s -listen ADDRESS -to ADDRESS [flags]\n\nFlags:\n", command)
			flags.SetOutput(out)
			flags.PrintDefaults()
		}
		return nil, err
	}
	return s, s.check(flags)
}

func (s *settings) common(f *flag.FlagSet) {
	f.Var(&s.protosets, "protoset", "`file` with compiled descriptions, as protoc --include_imports --descriptor_set_out writes; may be repeated")
	f.Var(table{s.methods}, "method", "kind of a method, as `package.Service/Method=KIND`, with KIND unary, client-stream, server-stream or\nbidi-stream; package.Service/* and * stand for all others; may be repeated")
	f.BoolVar(&s.reflection, "reflection", true, "ask the server behind for its methods, if it serves gRPC's reflection")
	f.IntVar(&s.limits.Calls, "max-calls", 10_000, "how many calls may be under way at once; more are refused with ResourceExhausted")
	f.IntVar(&s.limits.Message, "max-message", 4<<20, "how many `bytes` a message may have")
	f.IntVar(&s.limits.Metadata, "max-metadata", 64<<10, "how many `bytes` the metadata of a request may have")
	f.DurationVar(&s.limits.Timeout, "timeout", 0, "how long a unary call may take, whatever its caller allows; 0 is no limit")
	f.DurationVar(&s.connectTimeout, "connect-timeout", 5*time.Second, "how long an attempt to connect to the server behind may take")
	f.DurationVar(&s.drainDelay, "drain-delay", 0, "how long to go on taking calls after SIGTERM, while telling that it is not serving")
	f.DurationVar(&s.drain, "drain", 30*time.Second, "how long calls may take to end after SIGTERM; then they are cut off")
	f.StringVar(&s.metrics, "metrics", "", "`host:port` to serve /metrics, for Prometheus, and /healthz on by HTTP")
	f.BoolVar(&s.logCalls, "log-calls", false, "log each call")
}

func (s *settings) grpc(f *flag.FlagSet) {
	f.StringVar(&s.listen, "listen", "", "`address` to serve gRPC on, such as tcp:127.0.0.1:8080 or unix:/run/front.sock")
	f.StringVar(&s.to, "to", "", "`address` of the ttrpc server, such as unix:/run/service.sock or tcp:host:port")
	f.StringVar(&s.tlsCert, "tls-cert", "", "`file` with the server's certificates, in PEM; without it gRPC is served as it is (h2c)")
	f.StringVar(&s.tlsKey, "tls-key", "", "`file` with the key of -tls-cert")
	f.StringVar(&s.tlsCA, "tls-client-ca", "", "`file` with authorities: clients need a certificate of theirs")
	f.StringVar(&s.tokenFile, "token-file", "", "`file` with a token: calls but those for health need it, as \"authorization: Bearer TOKEN\"")
	f.BoolVar(&s.classic, "classic", false, "do not ask the ttrpc server for the extended mode")
}

func (s *settings) ttrpc(f *flag.FlagSet) {
	f.StringVar(&s.listen, "listen", "", "`address` to serve ttrpc on, such as unix:/run/service.sock or tcp:127.0.0.1:7000")
	f.StringVar(&s.to, "to", "", "gRPC `target` of the servers, such as dns:///backends:8080, xds:///backends or unix:/run/grpc.sock")
	f.StringVar(&s.serviceConfig, "service-config", balanceAll, "gRPC's service config, in `JSON`, if the target has none")
	f.BoolVar(&s.tls, "tls", false, "use TLS to the servers")
	f.StringVar(&s.tlsCA, "tls-ca", "", "`file` with the authorities of the servers' certificates, in PEM, in place of the system's; implies -tls")
	f.StringVar(&s.tlsCert, "tls-cert", "", "`file` with certificates to show to the servers; implies -tls")
	f.StringVar(&s.tlsKey, "tls-key", "", "`file` with the key of -tls-cert")
	f.StringVar(&s.tlsServer, "tls-server-name", "", "`name` that the servers' certificates must have, in place of the target's")
	f.BoolVar(&s.sameUser, "same-user", false, "serve only processes of the same user and group, on a unix socket")
}

// check finds what cannot be meant.
func (s *settings) check(f *flag.FlagSet) error {
	switch {
	case f.NArg() > 0:
		return fmt.Errorf("%q is no flag", f.Arg(0))
	case s.listen == "":
		return errors.New("-listen is missing: where are calls to come from?")
	case s.to == "":
		return errors.New("-to is missing: where are calls to go?")
	case (s.tlsCert == "") != (s.tlsKey == ""):
		return errors.New("-tls-cert and -tls-key need each other")
	case f.Name() == "ttrpc-bridge grpc" && s.tlsCA != "" && s.tlsCert == "":
		return errors.New("-tls-client-ca needs -tls-cert and -tls-key: certificates are shown inside TLS")
	case s.limits.Calls <= 0 || s.limits.Message <= 0 || s.limits.Metadata <= 0:
		return errors.New("-max-calls, -max-message and -max-metadata have to be more than 0")
	case s.limits.Message > 1<<30:
		return errors.New("-max-message is 1073741824 at most")
	case s.limits.Timeout < 0 || s.connectTimeout <= 0 || s.drain < 0 || s.drainDelay < 0:
		return errors.New("no time can be negative, and -connect-timeout not 0")
	case !s.reflection && len(s.protosets) == 0 && len(s.methods) == 0:
		return errors.New("without -reflection, -protoset or -method no method is known, and nothing can pass")
	}
	if f.Name() == "ttrpc-bridge ttrpc" {
		return s.checkTTRPC()
	}
	return nil
}

// checkTTRPC finds what cannot be meant of ttrpc in front of gRPC.
func (s *settings) checkTTRPC() error {
	s.tls = s.tls || s.tlsCA != "" || s.tlsCert != ""
	switch scheme, rest, _ := strings.Cut(s.to, ":"); {
	case s.tlsServer != "" && !s.tls:
		return errors.New("-tls-server-name needs -tls")
	case s.sameUser && !strings.HasPrefix(s.listen, "unix") && !strings.HasPrefix(s.listen, "@"):
		return fmt.Errorf("-same-user needs a unix socket: nobody could call on %s", s.listen)
	case scheme == "xds" && os.Getenv("GRPC_XDS_BOOTSTRAP") == "" && os.Getenv("GRPC_XDS_BOOTSTRAP_CONFIG") == "":
		return errors.New("-to: xds needs GRPC_XDS_BOOTSTRAP, with the name of the file that tells where the control plane is")
	case resolver.Get(scheme) == nil && (strings.HasPrefix(rest, "//") || scheme == "tcp"): // a name for DNS to gRPC
		return fmt.Errorf("-to: there is no scheme %q for gRPC's targets: dns:///host:port, xds:///name, unix:/path or host:port", scheme)
	}
	return nil
}

// known returns what knows the methods: what was said, then the protosets, then reflection.
func (s *settings) known(reflection *bridge.Reflection) ([]bridge.Methods, error) {
	known := []bridge.Methods{s.methods}
	var sets []*descriptorpb.FileDescriptorSet
	for _, name := range s.protosets {
		encoded, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("-protoset: %w", err)
		}
		set := new(descriptorpb.FileDescriptorSet)
		if err := proto.Unmarshal(encoded, set); err != nil || len(set.File) == 0 {
			return nil, fmt.Errorf("-protoset %s is no compiled description: make one with protoc --include_imports --descriptor_set_out=%s FILE.proto", name, name)
		}
		sets = append(sets, set)
	}
	if sets != nil {
		described, err := bridge.NewDescriptors(sets...)
		if err != nil {
			return nil, fmt.Errorf("-protoset: %w", err)
		}
		known = append(known, described)
	}
	if s.reflection {
		known = append(known, reflection)
	}
	return known, nil
}

// config returns the bridge's.
func (s *settings) config(reflection *bridge.Reflection) (bridge.Config, error) {
	known, err := s.known(reflection)
	config := bridge.Config{Methods: known, Limits: s.limits}
	if s.logCalls {
		config.Ended = func(c bridge.EndedCall) {
			s.log.Info("call", "method", c.Service+"/"+c.Method, "kind", c.Kind.String(), "took", c.Took, "error", c.Err)
		}
	}
	return config, err
}
