// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpcttrpc

import (
	"fmt"
	"reflect"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// callOptions is what the options of a call ask for.
type callOptions struct {
	headers, trailers []*metadata.MD
	peers             []*peer.Peer
	onFinish          []func(error)
	creds             credentials.PerRPCCredentials
	maxRecv, maxSend  *int
	codec             codec // nil if messages are ttrpc's to encode
	wait              *bool
}

// set takes what the options ask for. What cannot be had is refused, with an error that names
// the option; functions of OnFinish are taken in any case.
func (o *callOptions) set(opts []grpc.CallOption) (refused error) {
	for _, opt := range opts {
		if err := o.setOne(opt); err != nil && refused == nil {
			refused = err
		}
	}
	return refused
}

// setOne is set for one option.
func (o *callOptions) setOne(opt grpc.CallOption) error {
	switch opt := opt.(type) {
	case grpc.EmptyCallOption, grpc.StaticMethodCallOption, grpc.MaxRetryRPCBufferSizeCallOption:
		// The last bounds what is kept for retries, and nothing is.
		return nil
	case grpc.HeaderCallOption:
		return add(&o.headers, opt.HeaderAddr, "grpc.Header")
	case grpc.TrailerCallOption:
		return add(&o.trailers, opt.TrailerAddr, "grpc.Trailer")
	case grpc.PeerCallOption:
		return add(&o.peers, opt.PeerAddr, "grpc.Peer")
	case grpc.OnFinishCallOption:
		if opt.OnFinish == nil {
			return mistaken("grpc.OnFinish", "the function is nil")
		}
		o.onFinish = append(o.onFinish, opt.OnFinish)
	case grpc.PerRPCCredsCallOption:
		o.creds = opt.Creds
	case grpc.MaxRecvMsgSizeCallOption:
		o.maxRecv = &opt.MaxRecvMsgSize
	case grpc.MaxSendMsgSizeCallOption:
		o.maxSend = &opt.MaxSendMsgSize
	case grpc.FailFastCallOption:
		wait := !opt.FailFast
		o.wait = &wait
	default:
		return o.setEncoding(opt)
	}
	return nil
}

// setEncoding is setOne for the options about how messages look.
func (o *callOptions) setEncoding(opt grpc.CallOption) error {
	switch opt := opt.(type) {
	case grpc.ForceCodecCallOption:
		return o.force(opt.Codec, opt.Codec == nil, "grpc.ForceCodec")
	case grpc.ForceCodecV2CallOption:
		return o.force(codecV2{opt.CodecV2}, opt.CodecV2 == nil, "grpc.ForceCodecV2")
	case grpc.CustomCodecCallOption:
		return o.force(opt.Codec, opt.Codec == nil, "grpc.CallCustomCodec")
	case grpc.ContentSubtypeCallOption:
		if t := strings.ToLower(opt.ContentSubtype); t != "" && t != proto.Name {
			return cannot(fmt.Sprintf("grpc.CallContentSubtype(%q)", t), "messages have no content type but proto; see grpc.ForceCodec")
		}
	case grpc.CompressorCallOption:
		if t := opt.CompressorType; t != "" && t != encoding.Identity {
			return cannot(fmt.Sprintf("grpc.UseCompressor(%q)", t), "messages are not compressed")
		}
	case grpc.AuthorityOverrideCallOption:
		if opt.Authority != "" {
			return cannot(fmt.Sprintf("grpc.CallAuthority(%q)", opt.Authority), "calls have no authority")
		}
	default:
		return o.setOther(opt)
	}
	return nil
}

// force sets the codec.
func (o *callOptions) force(c codec, isNil bool, name string) error {
	if isNil {
		return mistaken(name, "the codec is nil")
	}
	o.codec = c
	return nil
}

// acceptCompressors is the type of an option that has no name. It says which compressors an
// answer may have been compressed with, and none is.
var acceptCompressors = reflect.TypeOf(experimental.AcceptCompressors())

// setOther is setOne for an option of another type. One of gRPC's that is not known here is
// refused. Others embed one of gRPC's, or a pointer to it, and are to gRPC what that is.
func (o *callOptions) setOther(opt grpc.CallOption) error {
	v := reflect.ValueOf(opt)
	for v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	if !v.IsValid() || v.Kind() == reflect.Pointer {
		return mistaken(fmt.Sprintf("a call option of type %T", opt), "it is nil")
	}
	if v.Type() == acceptCompressors {
		return nil
	}
	if inner, ok := v.Interface().(grpc.CallOption); ok && v.Type() != reflect.TypeOf(opt) {
		return o.setOne(inner)
	}
	for i := range v.NumField() {
		if f := v.Type().Field(i); !f.Anonymous || !f.IsExported() {
			continue
		}
		if inner, ok := v.Field(i).Interface().(grpc.CallOption); ok {
			return o.setOne(inner)
		}
	}
	return cannot(fmt.Sprintf("a call option of type %T", opt), "it is not known here")
}

// add adds where something is to be put.
func add[T any](list *[]*T, at *T, name string) error {
	if at == nil {
		return mistaken(name, "the pointer is nil")
	}
	*list = append(*list, at)
	return nil
}

// cannot is the error of a call with an option that cannot be honoured.
func cannot(option, why string) error {
	return status.Errorf(codes.Unimplemented, "grpcttrpc: %s cannot be honoured: %s", option, why)
}

// mistaken is the error of a call with an option that means nothing.
func mistaken(option, why string) error {
	return status.Errorf(codes.Internal, "grpcttrpc: %s: %s", option, why)
}
