-- Copyright The ttrpc Authors.
-- SPDX-License-Identifier: Apache-2.0

-- Shows ttrpc in Wireshark and tshark, 4.0 or later. docs/wireshark.md tells how to install
-- and use it; PROTOCOL.md is what it goes by.
--
-- From the outside in:
--
--	who carries the bytes   TCP, NRI's trunk in TCP, sockdump
--	frame()                 one whole frame: its header, what it is, its data
--	track()                 what a frame means to its connection, in the order of the
--	                        capture. It runs once for each frame and leaves what is to
--	                        be shown in `infos`, for Wireshark dissects packets again
--	                        whenever they are looked at, in any order.
--	decode(), show()        protobuf: of ttrpc's own messages by the schemas here, of
--	                        payloads by Wireshark's dissector, which knows .proto files

local ttrpc = Proto("ttrpc", "ttrpc")
local trunk = Proto("ttrpc_trunk", "NRI's trunk for ttrpc")
local sockdump = Proto("ttrpc_sockdump", "Unix socket recorded by sockdump")

local HEADER = 10
local MAX_LENGTH = 4 * 1024 * 1024 -- of a frame of classic ttrpc
local MAX_PIECE = 256 * 1024       -- of a frame that goes in parts, in extended mode
local MAX_CONTROL = 64 * 1024
local END_LENGTH = 16 * 1024 * 1024 -- this is not ttrpc
local MAX_JOINED = 64 * 1024 * 1024 -- larger messages in parts are not put together here
local TRUNK_HEADER = 8
local MAX_TRUNK = HEADER + MAX_LENGTH
local SOCKDUMP_HEADER = 16

local REQUEST, RESPONSE, DATA = 1, 2, 3
local PART, FILES, CANCEL, CREDIT, PING, GOODBYE, METADATA, WANT, RETURN =
	0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48

local type_names = {
	[REQUEST] = "Request", [RESPONSE] = "Response", [DATA] = "Data",
	[PART] = "Part", [FILES] = "Files", [CANCEL] = "Cancel", [CREDIT] = "Credit", [PING] = "Ping",
	[GOODBYE] = "Goodbye", [METADATA] = "Metadata", [WANT] = "Want", [RETURN] = "Return",
}

local code_names = {
	[0] = "OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists",
	"PermissionDenied", "ResourceExhausted", "FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented",
	"Internal", "Unavailable", "DataLoss", "Unauthenticated",
}

local kind_names = { [0] = "channel", "bytes", "listener", "file", "socket", "socket listener" }

-- Fields

local F = {
	length = ProtoField.uint32("ttrpc.length", "Length"),
	stream = ProtoField.uint32("ttrpc.stream", "Stream"),
	type = ProtoField.uint8("ttrpc.type", "Type", base.HEX, type_names),
	flags = ProtoField.uint8("ttrpc.flags", "Flags", base.HEX),
	remote_closed = ProtoField.bool("ttrpc.flags.remote_closed", "The sender sends no more", 8, nil, 0x01),
	remote_open = ProtoField.bool("ttrpc.flags.remote_open", "Data of the caller follows", 8, nil, 0x02),
	no_data = ProtoField.bool("ttrpc.flags.no_data", "No message", 8, nil, 0x04),
	reset = ProtoField.bool("ttrpc.flags.reset", "Reset: what came is dropped", 8, nil, 0x01),
	stream_credit = ProtoField.bool("ttrpc.flags.stream_credit", "Takes credit of its stream", 8, nil, 0x02),
	refused = ProtoField.bool("ttrpc.flags.refused", "Refused: the call has not run", 8, nil, 0x04),
	asked = ProtoField.bool("ttrpc.flags.asked", "It was asked for", 8, nil, 0x01),
	answer = ProtoField.bool("ttrpc.flags.answer", "Answer", 8, nil, 0x01),
	last = ProtoField.bool("ttrpc.flags.last", "For the answer; nobody receives", 8, nil, 0x01),
	trailer = ProtoField.bool("ttrpc.flags.trailer", "Trailer", 8, nil, 0x01),
	data = ProtoField.bytes("ttrpc.data", "Data"),

	service = ProtoField.string("ttrpc.service", "Service"),
	method = ProtoField.string("ttrpc.method", "Method"),
	kind = ProtoField.string("ttrpc.kind", "Kind of call"),
	payload = ProtoField.bytes("ttrpc.payload", "Payload"),
	timeout = ProtoField.relative_time("ttrpc.timeout", "Timeout"),
	pair = ProtoField.none("ttrpc.metadata", "Metadata"),
	key = ProtoField.string("ttrpc.metadata.key", "Key"),
	value = ProtoField.string("ttrpc.metadata.value", "Value"),
	status = ProtoField.none("ttrpc.status", "Status"),
	code = ProtoField.int32("ttrpc.status.code", "Code", base.DEC, code_names),
	message = ProtoField.string("ttrpc.status.message", "Message"),
	detail = ProtoField.none("ttrpc.status.detail", "Detail"),
	detail_type = ProtoField.string("ttrpc.status.detail.type", "Type"),
	detail_value = ProtoField.bytes("ttrpc.status.detail.value", "Value"),

	request_in = ProtoField.framenum("ttrpc.request_in", "Request in", base.NONE, frametype.REQUEST),
	response_in = ProtoField.framenum("ttrpc.response_in", "Response in", base.NONE, frametype.RESPONSE),
	time = ProtoField.relative_time("ttrpc.time", "Time since the request"),
	part_of = ProtoField.framenum("ttrpc.part_of", "Put together in", base.NONE, frametype.NONE),
	parts = ProtoField.uint32("ttrpc.parts", "Parts before this frame"),
	message_length = ProtoField.uint64("ttrpc.message_length", "Length of the message with its parts"),
	with_files = ProtoField.uint32("ttrpc.with_files", "Descriptors with this message"),

	files = ProtoField.uint32("ttrpc.files", "Descriptors with the next message"),
	credit = ProtoField.uint32("ttrpc.credit", "Bytes more that may be sent"),
	want = ProtoField.uint32("ttrpc.want", "Bytes of credit that are asked for"),
	ret = ProtoField.uint32("ttrpc.return", "Bytes of credit that will not be used"),
	ping = ProtoField.bytes("ttrpc.ping", "Ping"),
	last_id = ProtoField.uint32("ttrpc.goodbye.last", "Last stream that is served"),

	hello = ProtoField.none("ttrpc.hello", "Hello"),
	version = ProtoField.uint64("ttrpc.hello.version", "Version"),
	feature = ProtoField.string("ttrpc.hello.feature", "Feature"),
	max_message = ProtoField.uint64("ttrpc.hello.max_message", "Largest message"),
	window = ProtoField.uint64("ttrpc.hello.window", "Window of each stream"),
	conn_window = ProtoField.uint64("ttrpc.hello.connection_window", "Window of requests and answers"),
	serves = ProtoField.bool("ttrpc.hello.serves", "Answers calls"),

	chan = ProtoField.none("ttrpc.libchan", "libchan"),
	chan_id = ProtoField.uint64("ttrpc.libchan.id", "Channel"),
	chan_session = ProtoField.uint64("ttrpc.libchan.session", "Session"),
	chan_answers = ProtoField.uint64("ttrpc.libchan.answers", "Answers session"),
	chan_version = ProtoField.uint64("ttrpc.libchan.version", "Version"),
	chan_codec = ProtoField.string("ttrpc.libchan.codec", "Codec"),
	chan_attach = ProtoField.bool("ttrpc.libchan.attach", "Attaches what was announced"),
	chan_name = ProtoField.string("ttrpc.libchan.name", "Name"),
	chan_capacity = ProtoField.uint64("ttrpc.libchan.capacity", "Capacity"),
	chan_message = ProtoField.none("ttrpc.libchan.message", "Message"),
	chan_body = ProtoField.bytes("ttrpc.libchan.body", "Body"),
	chan_ref = ProtoField.none("ttrpc.libchan.ref", "Announces"),
	chan_sends = ProtoField.bool("ttrpc.libchan.sends", "Whoever receives it gets the end that sends"),
	chan_kind = ProtoField.uint32("ttrpc.libchan.kind", "Kind", base.DEC, kind_names),
	chan_writes = ProtoField.uint64("ttrpc.libchan.writes", "Channel that is written to"),
	chan_local = ProtoField.none("ttrpc.libchan.local", "Local address"),
	chan_remote = ProtoField.none("ttrpc.libchan.remote", "Remote address"),
	chan_network = ProtoField.string("ttrpc.libchan.network", "Network"),
	chan_address = ProtoField.string("ttrpc.libchan.address", "Address"),
	chan_untaken = ProtoField.uint64("ttrpc.libchan.untaken", "Messages that are not taken"),
	chan_last = ProtoField.bool("ttrpc.libchan.last", "The last message"),
	chan_report = ProtoField.none("ttrpc.libchan.report", "Report"),
	chan_taken = ProtoField.uint64("ttrpc.libchan.taken", "Messages that were taken"),
	chan_final = ProtoField.bool("ttrpc.libchan.final", "No more will be"),
	chan_release = ProtoField.uint64("ttrpc.libchan.release", "Releases channel"),
	chan_accepted = ProtoField.uint64("ttrpc.libchan.accepted", "New channels that were accepted"),
	chan_draining = ProtoField.bool("ttrpc.libchan.draining", "Opens no more"),
	chan_idle = ProtoField.none("ttrpc.libchan.idle", "Idle"),
	chan_opened = ProtoField.uint64("ttrpc.libchan.opened", "Streams that it has opened"),
	chan_handled = ProtoField.uint64("ttrpc.libchan.handled", "Streams that it has taken"),
}

local E = {
	status = ProtoExpert.new("ttrpc.expert.status", "The call has failed", expert.group.RESPONSE_CODE, expert.severity.WARN),
	limit = ProtoExpert.new("ttrpc.expert.limit", "Over the limit", expert.group.PROTOCOL, expert.severity.ERROR),
	unknown = ProtoExpert.new("ttrpc.expert.type", "Unknown type", expert.group.PROTOCOL, expert.severity.WARN),
	flags = ProtoExpert.new("ttrpc.expert.flags", "Unknown flags", expert.group.PROTOCOL, expert.severity.NOTE),
	rule = ProtoExpert.new("ttrpc.expert.rule", "Against the protocol", expert.group.PROTOCOL, expert.severity.WARN),
	stream = ProtoExpert.new("ttrpc.expert.stream", "The stream", expert.group.SEQUENCE, expert.severity.NOTE),
	malformed = ProtoExpert.new("ttrpc.expert.malformed", "Does not parse", expert.group.MALFORMED, expert.severity.ERROR),
	skipped = ProtoExpert.new("ttrpc.expert.skipped", "Not shown as protobuf", expert.group.UNDECODED, expert.severity.NOTE),
	cut = ProtoExpert.new("ttrpc.expert.cut", "The capture lacks bytes", expert.group.UNDECODED, expert.severity.NOTE),
	tell = ProtoExpert.new("ttrpc.expert.tell", "Of note", expert.group.SEQUENCE, expert.severity.CHAT),
}

local T = {
	conn = ProtoField.uint32("ttrpc_trunk.conn", "Connection", base.DEC, { "the plugin serves", "the runtime serves" }),
	length = ProtoField.uint32("ttrpc_trunk.length", "Length"),
	more = ProtoField.bytes("ttrpc_trunk.piece", "Piece of a frame that ends later"),
	bad = ProtoExpert.new("ttrpc_trunk.expert.header", "No header of a trunk", expert.group.MALFORMED, expert.severity.ERROR),
}

local S = {
	pid = ProtoField.uint64("ttrpc_sockdump.pid", "Process"),
	peer = ProtoField.uint64("ttrpc_sockdump.peer", "Peer's process"),
	more = ProtoField.bytes("ttrpc_sockdump.piece", "Piece of a frame that ends later"),
	bad = ProtoExpert.new("ttrpc_sockdump.expert.bytes", "Not ttrpc", expert.group.MALFORMED, expert.severity.ERROR),
}

-- values returns what a table has, in any order.
local function values(t)
	local list = {}
	for _, v in pairs(t) do
		list[#list + 1] = v
	end
	return list
end

ttrpc.fields, ttrpc.experts = values(F), values(E)
trunk.fields, trunk.experts = { T.conn, T.length, T.more }, { T.bad }
sockdump.fields, sockdump.experts = { S.pid, S.peer, S.more }, { S.bad }

-- The bits that a flag of a type has, and what it is shown as.
local open_flags = { { 1, F.remote_closed }, { 2, F.remote_open }, { 4, F.no_data } }
local flag_fields = {
	[REQUEST] = open_flags,
	[DATA] = { { 1, F.remote_closed }, { 4, F.no_data } },
	[RESPONSE] = { { 2, F.stream_credit }, { 4, F.refused } },
	[PART] = { { 1, F.reset }, { 2, F.stream_credit } },
	[FILES] = { { 2, F.stream_credit } },
	[CREDIT] = { { 1, F.asked } },
	[WANT] = { { 1, F.last } },
	[PING] = { { 1, F.answer } },
	[METADATA] = { { 1, F.trailer } },
}

-- has tells whether a bit is set. Lua 5.2 and 5.4 have no way in common to say so.
local function has(flags, bit)
	return math.floor(flags / bit) % 2 == 1
end

-- Protobuf

-- varint reads a number from a string, and returns its lower and upper 32 bits and where
-- it ends, or nil.
local function varint(s, at)
	local low, high = 0, 0
	for i = 0, 9 do
		local b = s:byte(at + i)
		if not b then
			return nil
		end
		local v = b % 128
		if i < 4 then
			low = low + v * 2 ^ (7 * i)
		elseif i == 4 then
			low = low + v % 16 * 2 ^ 28
			high = math.floor(v / 16)
		else
			high = high + v * 2 ^ (7 * i - 32)
		end
		if b < 128 then
			return math.floor(low), math.floor(high % 2 ^ 32), at + i + 1
		end
	end
	return nil
end

-- decode cuts a message into its fields, in their order: number and type; of numbers the
-- value; where the field begins and ends, and its content. It returns nil if s is no message.
local function decode(s)
	local fields, at = {}, 1
	while at <= #s do
		local tag, high, next = varint(s, at)
		if not tag or high ~= 0 or tag < 8 then
			return nil
		end
		local f = { number = math.floor(tag / 8), wire = math.floor(tag % 8), from = at }
		if f.wire == 0 then
			f.low, f.high, f.after = varint(s, next)
			if not f.low then
				return nil
			end
			f.content, f.length = next, f.after - next
		else
			local n = f.wire == 1 and 8 or f.wire == 5 and 4
			f.content = next
			if f.wire == 2 then
				n, high, f.content = varint(s, next)
				if not n or high ~= 0 then
					return nil
				end
			end
			if not n or f.content + n - 1 > #s then
				return nil
			end
			f.length, f.after = n, f.content + n
		end
		fields[#fields + 1] = f
		at = f.after
	end
	return fields
end

-- text returns the content of a field.
local function text(s, f)
	return s:sub(f.content, f.content + f.length - 1)
end

-- A schema has for each field of a message: of which type it is on the wire, the
-- ProtoField, and a schema if it is a message, or a function that shows it.
local NUMBER, BYTES = 0, 2

local address_schema = { { BYTES, F.chan_network }, { BYTES, F.chan_address } }
local pair_schema = { { BYTES, F.key }, { BYTES, F.value } }
local detail_schema = { { BYTES, F.detail_type }, { BYTES, F.detail_value } }
local status_schema = { { NUMBER, F.code }, { BYTES, F.message }, { BYTES, F.detail, detail_schema } }
local request_schema = {
	{ BYTES, F.service }, { BYTES, F.method }, { BYTES, F.payload }, { NUMBER, F.timeout }, { BYTES, F.pair, pair_schema },
}
local response_schema = { { BYTES, F.status, status_schema }, { BYTES, F.payload } }
local hello_schema = {
	{ NUMBER, F.version }, { BYTES, F.feature }, { NUMBER, F.max_message },
	{ NUMBER, F.window }, { NUMBER, F.conn_window }, { NUMBER, F.serves },
}

local chan_hello = { { NUMBER, F.chan_version }, { NUMBER, F.chan_session }, { NUMBER, F.chan_answers }, { BYTES, F.chan_codec } }
local chan_ref = {
	{ NUMBER, F.chan_id }, { NUMBER, F.chan_sends }, { NUMBER, F.chan_capacity }, { NUMBER, F.chan_kind },
	{ NUMBER, F.chan_writes }, { BYTES, F.chan_local, address_schema }, { BYTES, F.chan_remote, address_schema },
	{ NUMBER, F.chan_untaken },
}
local chan_message = {
	{ BYTES, F.chan_body }, { BYTES, F.chan_codec }, { BYTES, F.chan_ref, chan_ref }, { BYTES, F.status, status_schema },
	{ NUMBER, F.chan_last },
}
local chan_open = {
	{ NUMBER, F.chan_session }, { NUMBER, F.chan_id }, { NUMBER, F.chan_attach }, { BYTES, F.chan_name },
	{ NUMBER, F.chan_capacity }, { BYTES, F.chan_message, chan_message },
}
local chan_report = { { NUMBER, F.chan_id }, { NUMBER, F.chan_taken }, { NUMBER, F.chan_final }, { BYTES, F.status, status_schema } }
local chan_control = {
	{ BYTES, F.hello, chan_hello }, { BYTES, F.chan_report, chan_report }, { NUMBER, F.chan_release },
	{ NUMBER, F.chan_accepted }, { NUMBER, F.chan_draining }, { BYTES, F.chan_idle, { { NUMBER, F.chan_opened }, { NUMBER, F.chan_handled } } },
}

local texts = {
	[F.service] = true, [F.method] = true, [F.key] = true, [F.value] = true, [F.message] = true, [F.detail_type] = true,
	[F.feature] = true, [F.chan_codec] = true, [F.chan_name] = true, [F.chan_network] = true, [F.chan_address] = true,
}
local signed = { [F.code] = true }
local narrow = { [F.chan_kind] = true }
local flags_of = {
	[F.serves] = true, [F.chan_attach] = true, [F.chan_sends] = true, [F.chan_last] = true,
	[F.chan_final] = true, [F.chan_draining] = true,
}

-- fits tells whether all of a message is what a schema says.
local function fits(s, schema)
	local fields = decode(s)
	for _, f in ipairs(fields or {}) do
		local known = schema[f.number]
		if not known or known[1] ~= f.wire or known[3] and not fits(text(s, f), known[3]) then
			return false
		end
	end
	return fields ~= nil
end

-- number32 is a number of protobuf as an int32.
local function number32(low)
	return low < 2 ^ 31 and low or math.floor(low - 2 ^ 32)
end

-- time is a number of nanoseconds as Wireshark has times.
local function time(low, high)
	if low == 0 and high == 2 ^ 31 then
		low = 1 -- the least of all numbers has no opposite
	end
	local n, sign = Int64.new(low, high), 1
	if high >= 2 ^ 31 then
		n, sign = -n, -1
	end
	local second = Int64.new(1000000000)
	return NSTime.new(sign * (n / second):tonumber(), sign * (n % second):tonumber())
end

-- A bytes is where a string stands in a tvb: { tvb, at, s }.
local function range(m, f)
	return m.tvb(m.at + f.content - 1, f.length)
end

-- show_value adds a field that is no message.
local function show_value(tree, field, m, f)
	local r = range(m, f)
	if texts[field] then
		return tree:add_packet_field(field, r, ENC_UTF_8 + ENC_NA)
	elseif f.wire == BYTES then
		return tree:add(field, r)
	elseif field == F.chan_capacity then
		return tree:add(field, r, UInt64.new(f.low, f.high) - (f.low + f.high > 0 and 1 or 0))
	elseif field == F.timeout then
		return tree:add(field, r, time(f.low, f.high))
	elseif signed[field] then
		return tree:add(field, r, number32(f.low))
	elseif flags_of[field] then
		return tree:add(field, r, f.low + f.high > 0)
	elseif narrow[field] then
		return tree:add(field, r, f.low)
	end
	return tree:add(field, r, UInt64.new(f.low, f.high))
end

-- show adds the fields of a message, and returns them. What is unknown is passed over.
-- each, if given, is called with the item of each field.
local function show(tree, m, schema, each)
	local fields = decode(m.s)
	if not fields then
		tree:add_proto_expert_info(E.malformed, "This does not parse as protobuf")
		return nil
	end
	for _, f in ipairs(fields) do
		local known = schema[f.number]
		if known and known[1] == f.wire then
			local item
			if known[3] then
				item = tree:add(known[2], range(m, f))
				show(item, { tvb = m.tvb, at = m.at + f.content - 1, s = text(m.s, f) }, known[3], each)
			else
				item = show_value(tree, known[2], m, f)
			end
			if each then
				each(known[2], item, f, m)
			end
		end
	end
	return fields
end

-- number is a big-endian uint32.
local function number(s)
	local a, b, c, d = s:byte(1, 4)
	return ((a * 256 + b) * 256 + c) * 256 + d
end

-- last returns a field of a message, of several the last one.
local function last(fields, number, wire)
	for i = #fields, 1, -1 do
		if fields[i].number == number and fields[i].wire == wire then
			return fields[i]
		end
	end
	return nil
end

local function last_text(s, fields, number)
	local f = last(fields, number, BYTES)
	return f and text(s, f) or ""
end

-- read_status returns what a status says, or nil if it does not parse.
local function read_status(s)
	local fields = decode(s)
	if not fields then
		return nil
	end
	local code = last(fields, 1, NUMBER)
	return { code = code and number32(code.low) or 0, message = last_text(s, fields, 2), given = code ~= nil }
end

-- printable makes a text of the peer's fit a line: short, of UTF-8, without controls.
local function printable(s)
	local dots = #s > 200 and "…" or ""
	s = s:sub(1, 200):gsub("%c", "."):gsub("[\128-\255][\128-\191]*", function(run)
		local first = run:byte()
		local n = first < 0xc2 and 0 or first < 0xe0 and 2 or first < 0xf0 and 3 or first < 0xf5 and 4 or 0
		return #run == n and run or #run > n and run:sub(1, n) .. "?" or "?"
	end)
	return s .. dots
end

local function status_text(status)
	local name = code_names[status.code] or string.format("code %d", status.code)
	return status.message == "" and name or name .. ": " .. printable(status.message)
end

-- What is remembered of a capture

local conns  -- by name: what track keeps of a connection
local infos  -- by key of a frame: what track has left to be shown
local joined -- by key of a packet of a trunk or of sockdump: the frames that end in it
local pids   -- of sockdump: connections by processes

local function forget()
	conns, infos, joined, pids = {}, {}, {}, { pairs = {}, asked = {} }
end
forget()
ttrpc.init = forget

-- new_conn makes what is kept of one connection. Sides are 1 and 2.
local function new_conn()
	return {
		calls = {},                 -- by stream: the newest
		parts = { {}, {} },         -- by side and stream: a message in parts
		files = { {}, {} },         -- by side and stream: descriptors of the next message
		pings = { {}, {} },         -- by side and data: those without answer
		rest = { {}, {} },          -- by side: pieces of a frame that has not ended
		trunk = {},                 -- by number: the connections of a trunk
	}
end

local function conn_of(name)
	conns[name] = conns[name] or new_conn()
	return conns[name]
end

local HELLO = "ttrpc.extensions.v1.Connection"
local LIBCHAN = "libchan.v1.Session"
local TUNNEL = "brpc.Tunnel" -- whose messages are bytes

local function path(call)
	return call.service and call.service .. "/" .. call.method or nil
end

-- Tracking

local function tell(info, what, message)
	info.experts[#info.experts + 1] = { what, message }
end

-- open_call is for a request, and for what is answered though it opens nothing.
local function open_call(conn, side, h, pinfo, info)
	local call = { id = h.id, caller = side, frame = pinfo.number, at = pinfo.rel_ts, closed = {} }
	local before = conn.calls[h.id]
	if before and not before.ended then
		call.before = before
	end
	conn.calls[h.id] = call
	info.call, info.opens = call, true
	return call
end

local function track_request(conn, side, h, s, pinfo, info)
	local before = conn.calls[h.id]
	if h.id == 1 and before and before.ended then
		conn.extended = nil -- the ports are used again
	end
	local even = h.id % 2 == 0
	if even and not conn.extended then
		tell(info, E.rule, "Streams of the client have odd ids")
	elseif before and not before.ended then
		tell(info, E.rule, "The stream is in use")
	end
	local call = open_call(conn, side, h, pinfo, info)
	call.kind = has(h.flags, 2) and "the caller streams" or has(h.flags, 1) and "the callee streams" or "unary"
	local fields = decode(s)
	if not fields then
		return
	end
	call.service, call.method = printable(last_text(s, fields, 1)), printable(last_text(s, fields, 2))
	call.hello = h.id == 1 and call.kind == "unary" and call.service == HELLO and call.method == "Hello"
end

-- answered picks the call that a response is for: of several on one id the newest if it
-- was refused for that, else the oldest.
local function answered(conn, h, status)
	local call = conn.calls[h.id]
	if not call or not call.before then
		return call
	end
	if status and status.message:find("StreamID", 1, true) then
		conn.calls[h.id] = call.before
		return call
	end
	local newer = call
	while newer.before.before do
		newer = newer.before
	end
	call, newer.before = newer.before, nil
	return call
end

-- since is the time from then, in seconds, to a packet.
local function since(at, pinfo)
	local nanos = math.floor((pinfo.rel_ts - at) * 1e9 + 0.5)
	local seconds = math.floor(nanos / 1e9)
	return NSTime.new(seconds, math.floor(nanos - seconds * 1e9))
end

local function end_call(call, pinfo, info)
	call.ended = pinfo.number
	info.ends = true
	info.time = since(call.at, pinfo)
end

local function track_response(conn, side, h, s, pinfo, info)
	local fields = decode(s)
	info.status = fields and read_status(last_text(s, fields, 1))
	if info.status and info.status.code ~= 0 then
		tell(info, E.status, status_text(info.status))
	end
	local call = answered(conn, h, info.status)
	if not call then
		tell(info, E.stream, "The capture has no request for this")
		return
	end
	info.call = call
	if side == call.caller then
		tell(info, E.rule, "This comes from the side that made the call")
		return
	end
	if call.ended then
		tell(info, E.stream, "The stream has ended")
		return
	end
	end_call(call, pinfo, info)
	if call.hello and info.status and info.status.code == 0 then
		conn.extended = true
		tell(info, E.tell, "The extended mode begins")
	end
end

local function track_data(conn, side, h, pinfo, info)
	local call = conn.calls[h.id]
	if not call then
		tell(info, E.stream, "The capture has no request for this")
		open_call(conn, side, h, pinfo, info)
		return
	end
	info.call = call
	if call.ended then
		tell(info, E.stream, "The stream has ended")
		if side == call.caller and not conn.extended then -- it is answered
			local late = open_call(conn, side, h, pinfo, info)
			late.service, late.method = call.service, call.method
		end
	elseif call.closed[side] then
		tell(info, E.rule, "The side has sent its last data before")
	elseif call.kind == "unary" then
		tell(info, E.rule, "A unary call has no data")
	elseif has(h.flags, 1) then
		call.closed[side] = pinfo.number
		if side ~= call.caller then
			end_call(call, pinfo, info)
		end
	end
end

-- take_parts puts a frame's data behind its parts, and returns all of it.
local function take_parts(conn, side, h, s, pinfo, info)
	info.with_files, conn.files[side][h.id] = conn.files[side][h.id], nil
	local parts = conn.parts[side][h.id]
	conn.parts[side][h.id] = nil
	if not parts then
		return s
	end
	for _, part in ipairs(parts.infos) do
		part.part_of, part.whole = pinfo.number, info
	end
	info.parts, info.message_length = #parts.infos, parts.bytes + h.length
	if parts.lost then
		info.lost = true
		return ""
	end
	parts.pieces[#parts.pieces + 1] = s
	info.message = table.concat(parts.pieces)
	return info.message
end

local function track_part(conn, side, h, s, whole, info)
	if has(h.flags, 1) then
		conn.parts[side][h.id], conn.files[side][h.id] = nil, nil
		tell(info, E.tell, "The sender gives up its message")
		return
	end
	local parts = conn.parts[side][h.id] or { pieces = {}, infos = {}, bytes = 0 }
	conn.parts[side][h.id] = parts
	parts.bytes = parts.bytes + h.length
	parts.infos[#parts.infos + 1] = info
	if not whole or parts.bytes > MAX_JOINED then
		parts.lost, parts.pieces = true, {}
	else
		parts.pieces[#parts.pieces + 1] = s
	end
end

local function track_ping(conn, side, h, s, pinfo, info)
	if not has(h.flags, 1) then
		local ping = { frame = pinfo.number, at = pinfo.rel_ts }
		conn.pings[side][s], info.ping, info.opens = ping, ping, true
		return
	end
	local ping = conn.pings[3 - side][s]
	if not ping then
		tell(info, E.stream, "The capture has no ping for this answer")
		return
	end
	conn.pings[3 - side][s] = nil
	ping.ended, info.ping, info.ends, info.time = pinfo.number, ping, true, since(ping.at, pinfo)
end

-- check tells of what no frame must be.
local function check(conn, h, info)
	local t, id = h.type, h.id
	local control = t >= PART and t <= RETURN
	if t == 0 and id == 0 and h.length == 0 then
		tell(info, E.tell, "A probe: this is answered, and means nothing else")
	elseif not type_names[t] then
		local what = t >= 0x40 and t < 0x80 and "the connection ends in extended mode" or "it is passed over"
		tell(info, E.unknown, string.format("Type 0x%02x is unknown: %s", t, what))
	elseif control and not conn.extended then
		conn.extended = true
		tell(info, E.stream, "A frame of the extended mode, and the capture has no Hello")
	end
	local on_conn = t == PING or t == GOODBYE
	local either = t == CREDIT or t == WANT or t == RETURN
	if control and not either and (id == 0) ~= on_conn then
		tell(info, E.rule, on_conn and "This is for the connection and has id 0" or "This is for a stream and has no id 0")
	end
	local most = MAX_LENGTH
	if t == CANCEL or t == GOODBYE or t == METADATA then
		most = MAX_CONTROL
	elseif t == PART or conn.extended and t >= REQUEST and t <= DATA then
		most = MAX_PIECE
	end
	if h.length > most then
		tell(info, E.limit, string.format("The frame has %d bytes, and the limit is %d", h.length, most))
	end
	local known = 0
	for _, flag in ipairs(flag_fields[t] or {}) do
		known = known + flag[1]
	end
	local unknown = 0
	for bit = 0, 7 do
		local mask = 2 ^ bit
		if has(h.flags, mask) and not has(known, mask) then
			unknown = unknown + mask
		end
	end
	if unknown > 0 and type_names[t] then
		tell(info, E.flags, string.format("Flags 0x%02x mean nothing on this type", unknown))
	end
end

-- track takes in a frame, in the order of the capture, and returns what to show of it.
local function track(conn, side, h, s, whole, pinfo)
	local info = { experts = {} }
	check(conn, h, info)
	local t = h.type
	if t == PART and h.id ~= 0 then
		track_part(conn, side, h, s, whole, info)
	elseif t == PING and whole then
		track_ping(conn, side, h, s, pinfo, info)
	elseif t == FILES and h.length == 4 and whole then
		conn.files[side][h.id] = number(s)
	elseif t >= REQUEST and t <= DATA then
		s = take_parts(conn, side, h, whole and s or "", pinfo, info)
		if t == REQUEST then
			track_request(conn, side, h, s, pinfo, info)
		elseif t == RESPONSE then
			track_response(conn, side, h, s, pinfo, info)
		else
			track_data(conn, side, h, pinfo, info)
		end
	elseif h.id % 2 == 0 and not conn.extended then
		open_call(conn, side, h, pinfo, info) -- for the answer
	end
	if not info.call and h.id ~= 0 then
		info.call = conn.calls[h.id]
	end
	return info
end

-- Showing

local protobuf = Dissector.get("protobuf")

-- fields_left is how many more fields of protobuf a packet's tree has room for. One takes up to nine items.
local fields_left = 0

-- too_much tells why Wireshark's dissector for protobuf must not see a message, or returns nil. That
-- one reports as its own bug a length of almost 2 GiB or more, and a tree of more than 1,000,000 items or
-- 500 levels. Such an error passes Lua by and leaves it broken: Wireshark crashes later. What may be a
-- message in a message is looked at, too.
local function too_much(s, at, to, depth)
	if depth > 100 then
		return "messages in messages, more than 100 levels deep"
	end
	while at <= to do
		local tag, _, next = varint(s, at)
		fields_left = fields_left - 1
		if fields_left < 0 then
			return "more than 100,000 fields, with those of the same packet"
		end
		if not tag then
			return nil
		end
		local wire = tag % 8
		if wire == 0 then
			_, _, next = varint(s, next)
		elseif wire == 1 or wire == 5 then
			next = next + (wire == 1 and 8 or 4)
		elseif wire == 2 then
			local n, _, content = varint(s, next)
			if n and n >= 2 ^ 30 then
				return "a field with a length of 1 GiB or more"
			end
			next = n and content + n
			local odd = n and s:find("[^ -~]", content)
			if odd and odd < next and odd <= to then -- not of plain text alone
				local why = too_much(s, content, math.min(next - 1, to), depth + 1)
				if why then
					return why
				end
			end
		end
		if not next then
			return nil
		end
		at = next
	end
	return nil
end

-- payload hands a payload to Wireshark's dissector. What it is there is "message,NAME", or
-- a method and a direction in the form in which gRPC's dissector says so.
local function payload(tree, m, f, what, pinfo)
	if f.length == 0 then
		return
	end
	local why = too_much(m.s, f.content, f.content + f.length - 1, 1)
	if why then
		tree:add_proto_expert_info(E.skipped, "This is not shown as protobuf: it has " .. why)
		return
	end
	pinfo.private["pb_msg_type"] = what
	local ok = pcall(protobuf.call, protobuf, range(m, f):tvb(), pinfo, tree)
	pinfo.private["pb_msg_type"] = nil
	if not ok then
		tree:add_proto_expert_info(E.malformed, "Wireshark's dissector for protobuf has given up")
	end
end

local chan_schemas = {
	Control = { chan_control, chan_control },
	Meet = { chan_hello, {} },
	Open = { chan_open, chan_message },
}

-- show_message shows a message of a call: own ones by their schema, all others by
-- Wireshark's dissector.
local function show_message(tree, m, f, info, h, side, pinfo)
	local call = info.call
	local s = text(m.s, f)
	local mine = { tvb = m.tvb, at = m.at + f.content - 1, s = s }
	if call and call.hello then
		show(tree:add(F.hello, range(m, f)), mine, hello_schema)
		return
	end
	local schemas = call and call.service == LIBCHAN and chan_schemas[call.method]
	local schema = schemas and (h.type == REQUEST and schemas[1] or schemas[2])
	if schema and fits(s, schema) then
		local item = tree:add(F.chan, range(m, f))
		item:append_text(", " .. call.method)
		show(item, mine, schema)
		return
	end
	if h.type == DATA then
		tree:add(F.payload, range(m, f))
	end
	if schemas or call and call.service == TUNNEL then
		return -- bytes
	end
	if call and call.service then
		local direction = side == call.caller and "request" or "response"
		payload(tree, m, f, "application/grpc,/" .. path(call) .. "," .. direction, pinfo)
	else
		payload(tree, m, f, "", pinfo)
	end
end

-- show_envelope shows the data of a request, response or metadata.
local function show_envelope(tree, m, schema, info, h, side, pinfo)
	local message, kind
	show(tree, m, schema, function(field, _, f, where)
		if field == F.payload then
			message = f
		elseif field == F.detail_type then
			kind = text(where.s, f)
		elseif field == F.detail_value and kind then
			payload(tree, where, f, "message," .. kind:gsub("^.*/", ""), pinfo)
		end
	end)
	if message then
		show_message(tree, m, message, info, h, side, pinfo)
	end
end

-- The numbers that control frames have.
local number_fields = { [FILES] = F.files, [CREDIT] = F.credit, [WANT] = F.want, [RETURN] = F.ret, [GOODBYE] = F.last_id }

-- show_control shows the data of a frame that only the extended mode has.
local function show_control(tree, m, info, h, side, pinfo)
	local number = number_fields[h.type]
	if number then
		if #m.s < 4 or h.type ~= GOODBYE and #m.s ~= 4 then
			tree:add_proto_expert_info(E.malformed, "This has four bytes")
			return
		end
		tree:add(number, m.tvb(m.at, 4))
		m = { tvb = m.tvb, at = m.at + 4, s = m.s:sub(5) }
	end
	if h.type == CANCEL or h.type == GOODBYE then
		show(tree, m, status_schema)
	elseif h.type == METADATA then
		show_envelope(tree, m, request_schema, info, h, side, pinfo)
	elseif h.type == PING then
		if #m.s ~= 8 then
			tree:add_proto_expert_info(E.malformed, "This has eight bytes")
		end
		tree:add(F.ping, m.tvb(m.at, #m.s))
	elseif h.type == PART and #m.s > 0 then
		tree:add(F.data, m.tvb(m.at, #m.s))
	end
end

-- show_data shows the data of a frame.
local function show_data(tree, m, info, h, side, pinfo)
	if h.type == REQUEST then
		show_envelope(tree, m, request_schema, info, h, side, pinfo)
	elseif h.type == RESPONSE then
		show_envelope(tree, m, response_schema, info, h, side, pinfo)
	elseif h.type == DATA then
		if #m.s > 0 then
			show_message(tree, m, { content = 1, length = #m.s, wire = BYTES }, info, h, side, pinfo)
		end
	elseif h.type >= PART and h.type <= RETURN then
		show_control(tree, m, info, h, side, pinfo)
	elseif #m.s > 0 then
		tree:add(F.data, m.tvb(m.at, #m.s))
	end
end

-- generated adds what the frame itself does not have.
local function generated(tree, field, value)
	if value ~= nil then
		tree:add(field, value):set_generated()
	end
end

-- call_of returns the call of a frame. That of a part is known when the rest has come.
local function call_of(info)
	return info.call or info.whole and info.whole.call
end

local function show_info(tree, info, h)
	local call = call_of(info)
	if call and call.service and h.type ~= REQUEST then
		generated(tree, F.service, call.service)
		generated(tree, F.method, call.method)
	end
	if call and h.type == REQUEST then
		generated(tree, F.kind, call.kind)
	end
	if info.status and not info.status.given then
		generated(tree, F.code, 0)
	end
	local asked = call or info.ping
	if asked and not info.opens then
		generated(tree, F.request_in, asked.frame)
	end
	if asked and asked.ended and not info.ends then
		generated(tree, F.response_in, asked.ended)
	end
	generated(tree, F.time, info.time)
	generated(tree, F.part_of, info.part_of)
	generated(tree, F.parts, info.parts)
	generated(tree, F.message_length, info.message_length and UInt64.new(info.message_length))
	generated(tree, F.with_files, info.with_files)
	for _, e in ipairs(info.experts) do
		tree:add_proto_expert_info(e[1], e[2])
	end
end

-- remark is what a summary says beside the type and the call.
local function remark(h, s, info)
	local t, low = h.type, has(h.flags, 1)
	if t == RESPONSE then
		return info.status and status_text(info.status) or "does not parse"
	elseif t == CANCEL or t == GOODBYE and #s >= 4 then
		local status = read_status(t == GOODBYE and s:sub(5) or s)
		return status and status.given and status_text(status)
	elseif (t == CREDIT or t == WANT or t == RETURN or t == FILES) and #s == 4 then
		return string.format("%.0f", number(s))
	elseif t == DATA then
		return low and "the last"
	elseif t == PART then
		return low and "reset"
	elseif t == PING then
		return low and "answer"
	elseif t == METADATA then
		return low and "trailer" or "header"
	end
end

-- summary is a frame in a few words.
local function summary(h, s, info)
	local line = type_names[h.type] or string.format("Type 0x%02x", h.type)
	if h.id > 0 then
		line = line .. string.format(" %.0f", h.id)
	end
	local call, more = call_of(info), remark(h, s, info)
	if call and path(call) then
		line = line .. " " .. path(call)
	end
	return more and line .. ": " .. more or line
end

-- read_header returns a frame's header.
local function read_header(tvb)
	return { length = tvb(0, 4):uint(), id = tvb(4, 4):uint(), type = tvb(8, 1):uint(), flags = tvb(9, 1):uint() }
end

local function show_header(tree, tvb, h)
	tree:add(F.length, tvb(0, 4))
	tree:add(F.stream, tvb(4, 4))
	tree:add(F.type, tvb(8, 1))
	local flags = tree:add(F.flags, tvb(9, 1))
	for _, flag in ipairs(flag_fields[h.type] or {}) do
		flags:add(flag[2], tvb(9, 1))
	end
end

-- frame dissects one frame, which tvb begins with. key tells it from all others.
local function frame(tvb, pinfo, root, conn, side, key, note)
	local captured = tvb:captured_len()
	if captured < HEADER then
		root:add(ttrpc, tvb(0, captured)):add_proto_expert_info(E.cut, "The capture has a part of the header")
		return
	end
	local h = read_header(tvb)
	if h.length >= END_LENGTH then
		local tree = root:add(ttrpc, tvb(0, captured))
		tree:add(F.length, tvb(0, 4))
		tree:add_proto_expert_info(E.limit, string.format("A frame of %d bytes: this is not ttrpc, or begins within a frame", h.length))
		note("[No frame of ttrpc]")
		return
	end
	local n = math.min(h.length, captured - HEADER)
	local whole = n == h.length
	local s = tvb:raw(HEADER, n)
	key = string.format("%s/%x/%x/%x", key, h.length, h.id, h.type)
	local info = infos[key]
	if not info then
		info = pinfo.visited and { experts = {} } or track(conn, side, h, s, whole, pinfo)
		infos[key] = info
	end

	local line = summary(h, s, info)
	local tree = root:add(ttrpc, tvb(0, HEADER + n), "ttrpc, " .. line)
	note(line)
	show_header(tree, tvb, h)
	show_info(tree, info, h)
	local m = { tvb = tvb, at = HEADER, s = s }
	if info.message then
		m = { tvb = ByteArray.new(info.message, true):tvb("ttrpc's message"), at = 0, s = info.message }
	end
	if not whole or info.lost then
		tree:add_proto_expert_info(E.cut, "The capture lacks a part of this, or it is too long to put together")
		if n > 0 then
			tree:add(F.data, tvb(HEADER, n))
		end
		return
	end
	show_data(tree, m, info, h, side, pinfo)
end

-- Columns

-- columns runs what dissects, which gives note what it has found, and makes one line of
-- that. What other dissectors put into the columns meanwhile is gone.
local function columns(pinfo, dissect)
	local lines = {}
	fields_left = 100000
	local result = dissect(function(line)
		lines[#lines + 1] = line
	end)
	pinfo.cols.protocol = "ttrpc"
	pinfo.cols.info = table.concat(lines, "; ")
	pinfo.cols.info:fence()
	return result
end

-- Streams of bytes that Wireshark does not put together

-- cut returns the frames of which the last byte is in s, and the piece of the next one.
local function cut(rest, s)
	rest[#rest + 1] = s
	local total = 0
	for _, piece in ipairs(rest) do
		total = total + #piece
	end
	if rest.need and total < rest.need then
		return {}, rest
	end
	s = table.concat(rest)
	local frames, at = {}, 1
	while #s - at + 1 >= HEADER do
		local n = HEADER + number(s:sub(at, at + 3))
		if n >= END_LENGTH then
			return frames, {}, s:sub(at)
		end
		if at + n - 1 > #s then
			return frames, { s:sub(at), need = n }
		end
		frames[#frames + 1] = s:sub(at, at + n - 1)
		at = at + n
	end
	return frames, { s:sub(at) }
end

-- pieces dissects bytes of a connection, which may begin and end within frames.
local function pieces(tvb, at, pinfo, tree, root, conn, side, key, fields, note)
	local n = tvb:captured_len() - at
	local got = joined[key]
	if not got then
		if pinfo.visited then
			return
		end
		local bad
		got = {}
		got.frames, conn.rest[side], bad = cut(conn.rest[side], tvb:raw(at, n))
		if #conn.rest[side] == 1 and conn.rest[side][1] == "" then
			conn.rest[side] = {}
		end
		got.bad, got.more = bad ~= nil, #conn.rest[side] > 0
		if tvb:reported_len() > tvb:captured_len() then
			conn.rest[side], got.lost = {}, true
		end
		joined[key] = got
	end
	for i, f in ipairs(got.frames) do
		-- A frame that is all there is shown where it stands.
		local whole = #got.frames == 1 and not got.more and not got.bad and #f == n
		local part = whole and tvb(at):tvb() or ByteArray.new(f, true):tvb("ttrpc's frame")
		frame(part, pinfo, root, conn, side, key .. "." .. i, note)
	end
	if got.bad then
		tree:add_proto_expert_info(fields.bad, "A frame of 16 MiB or more: this is not ttrpc, or begins within a frame")
	elseif got.more and n > 0 then
		tree:add(fields.more, tvb(at, n))
	end
	if got.lost then
		tree:add_proto_expert_info(E.cut, "The capture lacks the end of this")
	end
	if #got.frames == 0 then
		note(got.bad and "[Not ttrpc]" or "[Piece of a frame]")
	end
end

-- A trunk of NRI

local function trunk_packet(tvb, pinfo, root, conn, side, note)
	local captured = tvb:captured_len()
	local tree = root:add(trunk, tvb(0, math.min(captured, TRUNK_HEADER)))
	if captured < TRUNK_HEADER then
		return
	end
	local id, n = tvb(0, 4):uint(), tvb(4, 4):uint()
	tree:add(T.conn, tvb(0, 4))
	tree:add(T.length, tvb(4, 4))
	if id == 0 or n > MAX_TRUNK then
		tree:add_proto_expert_info(T.bad, "Connection 0, or more than 4 MiB: this is no trunk, or begins within a packet")
		note("[No trunk]")
		return
	end
	tree:append_text(string.format(", connection %d", id))
	conn.trunk[id] = conn.trunk[id] or new_conn()
	local key = string.format("%d/%d/%d/%d", pinfo.number, tvb:offset(), id, n)
	pieces(tvb, TRUNK_HEADER, pinfo, tree, root, conn.trunk[id], side, key, T, note)
end

-- TCP

-- is_trunk tells whether bytes are a trunk's and not ttrpc's, or nil if there are too few.
-- A trunk's begin with the number of a connection, 1 or 2, its length and a frame. Taken
-- for a frame that would have type 0, which is nowhere.
local function is_trunk(tvb)
	if tvb:captured_len() < HEADER then
		return nil
	end
	local id = tvb(0, 4):uint()
	return (id == 1 or id == 2) and tvb(4, 4):uint() <= MAX_TRUNK and tvb(8, 1):uint() == 0
end

-- tcp_conn returns the connection of a packet, and the side that has sent it. Its number is not known in every pass, but
-- its addresses are.
local function tcp_conn(pinfo)
	local from, to = tostring(pinfo.src) .. " " .. pinfo.src_port, tostring(pinfo.dst) .. " " .. pinfo.dst_port
	return conn_of(from < to and from .. " " .. to or to .. " " .. from), from < to and 1 or 2
end

-- rest is how much there is from a place on, whether the capture has it or not.
local function rest(tvb, at)
	return tvb:reported_len() - at
end

local function frame_length(tvb, _, at)
	local there = tvb:captured_len() - at >= HEADER
	local n = there and tvb(at, 4):uint() or END_LENGTH
	return n < END_LENGTH and HEADER + n or rest(tvb, at)
end

local function trunk_length(tvb, _, at)
	if tvb:captured_len() - at < TRUNK_HEADER then
		return rest(tvb, at)
	end
	local id, n = tvb(at, 4):uint(), tvb(at + 4, 4):uint()
	return id > 0 and n <= MAX_TRUNK and TRUNK_HEADER + n or rest(tvb, at)
end

-- over_tcp dissects bytes of a connection. With as_trunk they are known to be a trunk's.
local function over_tcp(tvb, pinfo, root, as_trunk)
	local conn, side = tcp_conn(pinfo)
	local short = tvb:captured_len() < tvb:reported_len()
	if short then -- nothing looks for what the capture has not
		tvb = tvb(0, tvb:captured_len()):tvb()
	end
	if as_trunk then
		conn.is_trunk = true
	elseif conn.is_trunk == nil then
		conn.is_trunk = is_trunk(tvb)
		if conn.is_trunk == nil and not short then
			pinfo.desegment_len = DESEGMENT_ONE_MORE_SEGMENT
			pinfo.desegment_offset = 0
			return tvb:reported_len()
		end
	end
	return columns(pinfo, function(note)
		if conn.is_trunk then
			return dissect_tcp_pdus(tvb, root, TRUNK_HEADER, trunk_length, function(one, pi, tree)
				trunk_packet(one, pi, tree, conn, side, note)
				return one:reported_len()
			end)
		end
		return dissect_tcp_pdus(tvb, root, HEADER, frame_length, function(one, pi, tree)
			frame(one, pi, tree, conn, side, string.format("%d/%d", pi.number, one:offset()), note)
			return one:reported_len()
		end)
	end)
end

function ttrpc.dissector(tvb, pinfo, root)
	return over_tcp(tvb, pinfo, root, false)
end

function trunk.dissector(tvb, pinfo, root)
	return over_tcp(tvb, pinfo, root, true)
end

-- is_request tells whether a request begins there, with a name of a service.
local function is_request(tvb, at)
	local n = tvb:captured_len() - at
	if n < HEADER + 4 then
		return false
	end
	local length, flags = tvb(at, 4):uint(), tvb(at + 9, 1):uint()
	local name = tvb(at + HEADER + 1, 1):uint()
	if tvb(at + 8, 1):uint() ~= REQUEST or length > MAX_LENGTH or flags > 7 or name < 3 or name > 127 or
		name + 2 > length or n < HEADER + 2 + name or tvb(at + HEADER, 1):uint() ~= 0x0a then
		return false
	end
	return tvb:raw(at + HEADER + 2, name):find("^[%w_][%w_.]*$") ~= nil
end

ttrpc:register_heuristic("tcp", function(tvb, pinfo, root)
	if not is_request(tvb, 0) and not (is_trunk(tvb) and is_request(tvb, TRUNK_HEADER)) then
		return false
	end
	pinfo.conversation = ttrpc
	ttrpc.dissector(tvb, pinfo, root)
	return true
end)

-- sockdump

-- unix_conn finds the connection of two processes. A client sees who called listen, which
-- need not be who serves: what comes from elsewhere to one that waits is its answer.
local function unix_conn(pid, peer)
	local there, back = pid .. " " .. peer, peer .. " " .. pid
	local conn = pids.pairs[there] or pids.pairs[back]
	if not conn then
		conn = pids.asked[peer]
		if not conn then
			conn = { conn = new_conn(), client = pid }
			pids.asked[pid] = conn
		end
		pids.pairs[there] = conn
	end
	if pid ~= conn.client and pids.asked[conn.client] == conn then
		pids.asked[conn.client] = nil
	end
	return conn
end

function sockdump.dissector(tvb, pinfo, root)
	local captured = tvb:captured_len()
	if captured < SOCKDUMP_HEADER then
		return 0
	end
	local peer, pid = tostring(tvb(0, 8):uint64()), tostring(tvb(8, 8):uint64())
	local key = "sockdump " .. pinfo.number
	local known = joined[key] and joined[key].conn
	if not known then
		if pinfo.visited then
			return 0
		end
		known = unix_conn(pid, peer)
	end
	local side = pid == known.client and 1 or 2
	pinfo.cols.src, pinfo.cols.dst = "pid " .. pid, "pid " .. peer
	return columns(pinfo, function(note)
		local tree = root:add(sockdump, tvb(0, SOCKDUMP_HEADER))
		tree:add(S.peer, tvb(0, 8))
		tree:add(S.pid, tvb(8, 8))
		pieces(tvb, SOCKDUMP_HEADER, pinfo, tree, root, known.conn, side, key, S, note)
		joined[key].conn = known
		return tvb:reported_len()
	end)
end

-- Preferences

ttrpc.prefs.ports = Pref.range("TCP ports", "7774", "Ports of ttrpc. A capture that `ttrpc proxy` has written has 7774", 65535)
ttrpc.prefs.sockdump = Pref.bool("Captures of sockdump", true, "Take link type USER0 for what sockdump has recorded")

local tcp_ports, links = DissectorTable.get("tcp.port"), DissectorTable.get("wtap_encap")
local ports, user0 = nil, false

local function apply_prefs()
	if ports ~= ttrpc.prefs.ports then
		if ports and ports ~= "" then
			tcp_ports:remove(ports, ttrpc)
		end
		ports = ttrpc.prefs.ports
		if ports ~= "" then
			tcp_ports:add(ports, ttrpc)
		end
	end
	if user0 ~= ttrpc.prefs.sockdump then
		user0 = ttrpc.prefs.sockdump
		if user0 then
			links:add(wtap.USER0, sockdump)
		else
			links:remove(wtap.USER0, sockdump)
		end
	end
end
apply_prefs()
ttrpc.prefs_changed = apply_prefs

tcp_ports:add_for_decode_as(ttrpc)
tcp_ports:add_for_decode_as(trunk)
