// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpc_test

import (
	"context"

	"google.golang.org/grpc"

	"github.com/containerd/ttrpc/integration/grpc/ways"
)

// Why some ways differ.
const (
	noCancel  = "classic ttrpc has no cancellation"
	noAnswers = "classic ttrpc has no metadata of answers, and what would send it says so"
	noEnd     = "on a classic connection messages to a stream that has ended are dropped until its end is received"
	own       = "the bridge has a limit of its own, and tells of it as of its others"
	noBridge  = "the others have no bridge"
	oneHop    = "what the call waits for is the bridge, which is there and makes calls that do not wait"
	noMore    = "the header and the trailer of an answer have 64 KiB at most"
	noLimit   = "ttrpc counts metadata as part of the message, whose size is limited"
)

// classic is how classic ttrpc differs.
func classic(want, reason string) map[string]differs {
	return map[string]differs{ways.TTRPCClassic.Name: {want, reason}}
}

// waits is how bridges differ where a call waits for a server.
var waits = map[string]differs{ways.ToTTRPC.Name: {"Unavailable", oneHop}, ways.ToGRPC.Name: {"Unavailable", oneHop}}

// large is how ways with ttrpc differ where a header is large.
var large = map[string]differs{
	ways.TTRPC.Name: {"Internal; next OK", noMore}, ways.TTRPCClassic.Name: {"Unimplemented; next OK", noAnswers},
	ways.ToTTRPC.Name: {"Internal; next OK", noMore}, ways.ToGRPC.Name: {"Internal; next OK", noMore},
}

// bridges is what there is with a bridge only.
func bridges(want string) map[string]differs {
	return map[string]differs{ways.ToTTRPC.Name: {want, noBridge}, ways.ToGRPC.Name: {want, noBridge}}
}

// table returns the rows of the matrix. Those that take long come first.
func table() []row {
	return []row{
		{situation: "path lost for 5 s under calls", run: pathLost, want: "OK; OK"},

		{situation: "nobody listens", run: refused, want: "Unavailable"},
		{situation: "nobody listens, and the call waits for a server", run: refusedWaiting, want: "DeadlineExceeded", differs: waits},
		{situation: "server gone before the call", run: goneBefore, want: "Unavailable"},
		{situation: "server gone during a unary call", run: goneDuringUnary, want: "Unavailable; handler told"},
		{situation: "server gone while a stream receives", run: goneWhileReceiving, want: "Unavailable; handler told"},
		{situation: "server gone while a stream sends", run: goneWhileSending, want: "EOF, Unavailable; handler told"},
		{situation: "server gone after the answers", run: goneAfter, want: "OK, EOF, EOF; Unavailable"},

		{situation: "deadline passed before the call", run: deadlineBefore, want: "DeadlineExceeded"},
		{situation: "deadline during a unary call", run: endUnary(deadline), want: "DeadlineExceeded; handler told"},
		{situation: "deadline while a stream receives", run: endStream(deadline, receiveEnd), want: "DeadlineExceeded; handler told"},
		{situation: "deadline while a stream sends to one that does not receive", run: endStream(deadline, fill), want: "EOF, DeadlineExceeded; handler told"},
		{situation: "deadline as the handler sees it", run: deadlineSeen, want: "the client's; none without"},
		{situation: "handler returns context.DeadlineExceeded", run: returned(context.DeadlineExceeded), want: "DeadlineExceeded, DeadlineExceeded"},

		{situation: "cancelled before the call", run: cancelBefore, want: "Canceled"},
		{situation: "cancel during a unary call", run: endUnary(cancelled), want: "Canceled; handler told",
			differs: classic("Canceled; handler not told", noCancel)},
		{situation: "cancel while a stream receives", run: endStream(cancelled, receiveEnd), want: "Canceled; handler told",
			differs: classic("Canceled; handler not told", noCancel)},
		{situation: "cancel while a stream sends to one that does not receive", run: endStream(cancelled, fill), want: "EOF, Canceled; handler told",
			differs: classic("EOF, Canceled; handler not told", noCancel)},
		{situation: "handler returns context.Canceled", run: returned(context.Canceled), want: "Canceled, Canceled"},

		{situation: "message larger than the client may send", run: tooLarge(10<<10, 0, grpc.MaxCallSendMsgSize(4<<10)), want: "ResourceExhausted, ResourceExhausted; next OK"},
		{situation: "message larger than the server may receive", run: tooLarge(100<<10, 0), want: "ResourceExhausted, ResourceExhausted; next OK"},
		{situation: "answer larger than the server may send", run: tooLarge(0, 100<<10), want: "ResourceExhausted, ResourceExhausted; next OK"},
		{situation: "answer larger than the client may receive", run: tooLarge(0, 10<<10, grpc.MaxCallRecvMsgSize(4<<10)), want: "ResourceExhausted, ResourceExhausted; next OK"},
		{situation: "answer of 5 MiB, larger than a client may receive by default", run: defaultSize, want: "ResourceExhausted"},

		{situation: "message larger than the bridge lets pass", run: overBridge(100<<10, 0), want: none, differs: bridges("ResourceExhausted, ResourceExhausted; next OK")},
		{situation: "answer larger than the bridge lets pass", run: overBridge(0, 100<<10), want: none, differs: bridges("ResourceExhausted, ResourceExhausted; next OK")},

		{situation: "unknown service", run: unknown("/no.Such/Method"), want: "Unimplemented, Unimplemented"},
		{situation: "unknown method", run: unknown("/grpc.testing.TestService/NoSuch"), want: "Unimplemented, Unimplemented"},
		{situation: "name of a method that is none", run: unknown("/nonsense"), want: "Unimplemented, Unimplemented"},

		{situation: "metadata: names that gRPC reserves", run: reserved, want: "left out"},
		{situation: "metadata: a name with characters that none has", run: malformed("no such", "v"), want: "Internal, Internal"},
		{situation: "metadata: a value that is not printable", run: malformed("key", "a\x01b"), want: "Internal, Internal"},
		{situation: "metadata: all bytes in -bin, upper case, several values", run: echoed, want: "header, trailer",
			differs: classic("Unimplemented", noAnswers)},
		{situation: "metadata: request's larger than the server takes", run: headerTooLarge, want: "Internal; next OK",
			differs: map[string]differs{
				ways.TTRPC.Name: {"OK; next OK", noLimit}, ways.TTRPCClassic.Name: {"OK; next OK", noLimit},
				ways.ToGRPC.Name: {"ResourceExhausted; next OK", own},
			}},

		{situation: "metadata: header of 100 KiB of an answer", run: largeHeader, want: "OK; next OK", differs: large},

		{situation: "client half-closes, answers go on", run: halfClose, want: "OK, OK, OK, EOF"},
		{situation: "handler returns while the client sends", run: endWhileSending(nil), want: "EOF, EOF", differs: classic("dropped, EOF, EOF", noEnd)},
		{situation: "handler fails while the client sends", run: endWhileSending(errAborted), want: "EOF, Aborted", differs: classic("dropped, Aborted, EOF", noEnd)},
		{situation: "trailers only", run: trailersOnly, want: "no header; Aborted; trailer",
			differs: classic("no header; Aborted; no trailer", noAnswers)},
		{situation: "SetHeader after headers were sent", run: lateHeader, want: "Internal",
			differs: classic("call: Unimplemented", noAnswers)},
		{situation: "SendMsg after CloseSend", run: sendAfterClose, want: "Internal"},
		{situation: "handler returns an error that is no status, one that wraps a status", run: errorsOfHandlers, want: "Unknown; Aborted"},
		{situation: "status with details, and with text that is no UTF-8", run: texts, want: "1 details; a\uFFFDb"},
		{situation: "handler of a client stream sends no answer", run: noAnswer, want: "Internal"},

		{situation: "handler panics", run: panics, want: "ends the program"},
		{situation: "handler panics, and is recovered", run: recovered, want: "Internal; next OK"},

		{situation: "GracefulStop during a unary call", run: stopDuringUnary, want: "OK; new call Unavailable"},
		{situation: "GracefulStop during a stream", run: stopDuringStream, want: "OK, OK, EOF; new call Unavailable"},

		{situation: "bridge gone during a unary call", run: betweenGone, want: none, differs: bridges("Unavailable; handler told")},
		{situation: "GracefulStop of the bridge during a unary call", run: betweenStops, want: none, differs: bridges("OK; new call Unavailable")},

		{situation: "certificate refused by the client", run: strangeCertificate, want: "Unavailable", tls: true},
		{situation: "certificate wanted by the server", run: wantedCertificate, want: "Unavailable", tls: true},
		{situation: "no common ALPN protocol", run: otherProtocol, want: "Unavailable", tls: true},
		{situation: "a call after idle time", run: idle, want: "OK"},
	}
}
