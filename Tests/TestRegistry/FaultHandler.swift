import Glibc
import HTTPTypes
import NIOCore
import NIOHTTPTypes

/// Stands between one connection and the registry, and lets its requests' faults happen.
///
/// Requests come one after the other on a connection: each head begins with the fault of its own. What is held back is
/// held in memory.
final class FaultHandler: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    private let layer: FaultLayer
    private var number = 0
    private var fault: RegistryFault?
    /// Bytes of the request's body so far.
    private var received = 0
    /// Bytes of the answer's body so far.
    private var sent = 0
    /// The length of the answer's body as it is announced now.
    private var announced = Int.max
    /// Whether the rest of the request is for nobody.
    private var dropsRequest = false
    /// Whether the connection has ended.
    private var isBroken = false
    /// The parts of a request that the registry is to see later.
    private var delayed: [HTTPRequestPart]?
    private var timer: Scheduled<Void>?
    /// What is sent piece by piece.
    private var dripping: [(part: HTTPResponsePart, promise: EventLoopPromise<Void>?)] = []

    init(_ layer: FaultLayer) { self.layer = layer }

    func handlerRemoved(context: ChannelHandlerContext) {
        isBroken = true
        timer?.cancel()
        for (_, promise) in dripping { promise?.fail(ChannelError.ioOnClosedChannel) }
        dripping = []
    }

    // MARK: Requests

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isBroken else { return }
        let part = unwrapInboundIn(data)
        guard delayed == nil else {
            delayed?.append(part)
            return
        }
        switch part {
        case .head(let head): begin(head, context)
        case .body(let buffer): receive(buffer, context)
        case .end:
            if case .answer(let status, let headers, _) = fault, !dropsRequest { answer(status, headers, context) }
            if !dropsRequest { context.fireChannelRead(data) }
        }
    }

    private func begin(_ head: HTTPRequest, _ context: ChannelHandlerContext) {
        (number, fault) = layer.begin(head)
        (received, sent, announced, dropsRequest) = (0, 0, .max, false)
        var head = head
        switch fault {
        case .delay(let time):
            delayed = [.head(head)]
            later(time, context) { handler in
                let parts = handler.delayed ?? []
                handler.delayed = nil
                for part in parts { context.fireChannelRead(handler.wrapInboundOut(part)) }
                context.fireChannelReadComplete()
            }
            return
        case .answer(let status, let headers, after: 0?):
            return answer(status, headers, context)
        case .answer:
            return
        case .dropSession:
            head.method = .delete
            for name in [HTTPField.Name.contentLength, .transferEncoding, .contentRange, .expect] {
                head.headerFields[name] = nil
            }
            context.fireChannelRead(wrapInboundOut(.head(head)))
            context.fireChannelRead(wrapInboundOut(.end(nil)))
            dropsRequest = true
            return
        case .ignoreRange:
            head.headerFields[.range] = nil
        default: break
        }
        context.fireChannelRead(wrapInboundOut(.head(head)))
    }

    private func receive(_ buffer: ByteBuffer, _ context: ChannelHandlerContext) {
        layer.received(number, buffer.readableBytes)
        guard !dropsRequest else { return }
        var buffer = buffer
        let before = received
        received += buffer.readableBytes
        switch fault {
        case .answer(let status, let headers, let after):
            if let after, received >= after { answer(status, headers, context) }
            return
        case .resetUpload(let end) where received >= end:
            if let rest = buffer.readSlice(length: end - before), rest.readableBytes > 0 {
                context.fireChannelRead(wrapInboundOut(.body(rest)))
                context.fireChannelReadComplete()
            }
            return reset(context)
        case .corruptUpload(let byte):
            Self.flip(byte - before, of: &buffer)
        default: break
        }
        context.fireChannelRead(wrapInboundOut(.body(buffer)))
    }

    /// Answers in the registry's place; what still comes of the request is dropped.
    private func answer(_ status: Int, _ headers: [String: String], _ context: ChannelHandlerContext) {
        dropsRequest = true
        layer.answered(number, status)
        let body = Array(#"{"errors":[{"code":"UNKNOWN","message":"a fault of the test"}]}"#.utf8)
        var fields: HTTPFields = [.contentType: "application/json", .contentLength: "\(body.count)"]
        for (name, value) in headers {
            if let name = HTTPField.Name(name) { fields[name] = value }
        }
        context.write(
            wrapOutboundOut(.head(HTTPResponse(status: .init(code: status), headerFields: fields))), promise: nil)
        context.write(wrapOutboundOut(.body(ByteBuffer(bytes: body))), promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    }

    // MARK: Answers

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        guard !isBroken else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        switch unwrapOutboundIn(data) {
        case .head(let head): write(head, promise, context)
        case .body(let buffer): write(buffer, promise, context)
        case .end:
            if case .dropSession = fault {
                promise?.succeed()
                return
            }
            if case .lengthen(let count) = fault {
                let more = ByteBuffer(repeating: 7, count: count)
                context.write(wrapOutboundOut(.body(more)), promise: nil)
            }
            guard dripping.isEmpty else {
                dripping.append((.end(nil), promise))
                return
            }
            context.write(data, promise: promise)
        }
    }

    private func write(
        _ head: HTTPResponse, _ promise: EventLoopPromise<Void>?, _ context: ChannelHandlerContext
    ) {
        var head = head
        guard head.status.kind != .informational else {
            return context.write(wrapOutboundOut(.head(head)), promise: promise)
        }
        let length = head.headerFields[.contentLength].flatMap { Int($0) }
        switch fault {
        case .loseAnswer:
            promise?.fail(ChannelError.ioOnClosedChannel)
            return reset(context)
        case .dropSession:
            promise?.succeed()
            return answer(404, [:], context)
        case .contentRange(let text) where head.headerFields[.contentRange] != nil:
            head.headerFields[.contentRange] = text
        case .shorten(let count): announced = max(0, (length ?? count) - count)
        case .lengthen(let count): announced = (length ?? 0) + count
        default: break
        }
        if announced != .max { head.headerFields[.contentLength] = "\(announced)" }
        layer.answered(number, head.status.code)
        context.write(wrapOutboundOut(.head(head)), promise: promise)
    }

    private func write(
        _ buffer: ByteBuffer, _ promise: EventLoopPromise<Void>?, _ context: ChannelHandlerContext
    ) {
        var buffer = buffer
        let before = sent
        sent += buffer.readableBytes
        switch fault {
        case .dropSession:
            promise?.succeed()
            return
        case .resetAnswer(let end) where sent >= end:
            return breakOff(buffer.readSlice(length: max(0, end - before)), promise, context) { $0.reset(context) }
        case .truncate(let end) where sent >= end:
            return breakOff(buffer.readSlice(length: max(0, end - before)), promise, context) { $0.end(context) }
        case .corrupt(let byte):
            Self.flip(byte - before, of: &buffer)
        case .shorten:
            buffer = buffer.readSlice(length: max(0, min(buffer.readableBytes, announced - before))) ?? ByteBuffer()
        case .drip(let bytes, let time):
            dripping.append((.body(buffer), promise))
            if dripping.count == 1 { drip(bytes, time, context) }
            return
        default: break
        }
        context.write(wrapOutboundOut(.body(buffer)), promise: promise)
    }

    /// Sends the last bytes that the client gets, and ends the connection once they are on their way.
    private func breakOff(
        _ rest: ByteBuffer?, _ promise: EventLoopPromise<Void>?, _ context: ChannelHandlerContext,
        _ end: @escaping (FaultHandler) -> Void
    ) {
        let written = context.eventLoop.makePromise(of: Void.self)
        written.futureResult.assumeIsolated().whenComplete { [self] _ in
            promise?.fail(ChannelError.ioOnClosedChannel)
            end(self)
        }
        context.writeAndFlush(wrapOutboundOut(.body(rest ?? ByteBuffer())), promise: written)
    }

    /// Sends a few bytes, and the next ones later.
    private func drip(_ bytes: Int, _ time: Duration, _ context: ChannelHandlerContext) {
        later(time, context) { handler in
            guard !handler.dripping.isEmpty else { return }
            let (part, promise) = handler.dripping.removeFirst()
            guard case .body(var buffer) = part, buffer.readableBytes > bytes,
                let piece = buffer.readSlice(length: bytes)
            else {
                context.writeAndFlush(handler.wrapOutboundOut(part), promise: promise)
                if !handler.dripping.isEmpty { handler.drip(bytes, time, context) }
                return
            }
            handler.dripping.insert((.body(buffer), promise), at: 0)
            context.writeAndFlush(handler.wrapOutboundOut(.body(piece)), promise: nil)
            handler.drip(bytes, time, context)
        }
    }

    // MARK: Means

    private func later(
        _ time: Duration, _ context: ChannelHandlerContext, _ body: @escaping (FaultHandler) -> Void
    ) {
        timer = context.eventLoop.assumeIsolated().scheduleTask(in: TimeAmount(time)) { [self] in
            if !isBroken { body(self) }
        }
    }

    /// Ends the connection so that the peer sees a reset and no end.
    private func reset(_ context: ChannelHandlerContext) {
        guard !isBroken else { return }
        let lingering = (context.channel as? any SocketOptionProvider)?.setSoLinger(linger(l_onoff: 1, l_linger: 0))
        isBroken = true
        guard let lingering else { return context.close(promise: nil) }
        lingering.assumeIsolated().whenComplete { _ in context.close(promise: nil) }
    }

    private func end(_ context: ChannelHandlerContext) {
        isBroken = true
        context.close(promise: nil)
    }

    private static func flip(_ offset: Int, of buffer: inout ByteBuffer) {
        guard (0..<buffer.readableBytes).contains(offset),
            let byte = buffer.getInteger(at: buffer.readerIndex + offset, as: UInt8.self)
        else { return }
        buffer.setInteger(byte ^ 0xFF, at: buffer.readerIndex + offset)
    }
}
