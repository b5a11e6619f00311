import HummingbirdCore
import Logging
import NIOCore

/// Hummingbird's HTTP/1 channel with what large bodies want of it.
struct RegistryChannel: ServerChildChannel {
    typealias Value = HTTP1Channel.Value

    private let base: HTTP1Channel
    private let patience: TimeAmount

    /// - Parameter patience: how long a client may take for one piece of what it asked for
    init(_ base: HTTP1Channel, patience: TimeAmount) {
        self.base = base
        self.patience = patience
    }

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        do {
            let options = channel.syncOptions
            try options?.setOption(.tcpOption(.tcp_nodelay), value: 1)
            try channel.pipeline.syncOperations.addHandler(StalledWriteHandler(patience: patience))
        } catch {
            return channel.eventLoop.makeFailedFuture(error)
        }
        return base.setup(channel: channel, logger: logger)
    }

    func handle(value: Value, logger: Logger) async { await base.handle(value: value, logger: logger) }
}

/// Closes a connection whose client takes nothing of what it asked for, or next to nothing, which would hold its buffers, and
/// its place among the connections, for ever.
///
/// It looks at each write until the socket has taken all of it: less than one piece of a download, which has 64 KiB to 512
/// KiB, within the patience counts as nothing. Whether the channel is writable does not tell: with less than
/// 64 KiB waiting it is, and the end of a download is no more than that.
final class StalledWriteHandler: ChannelOutboundHandler {
    typealias OutboundIn = Any
    typealias OutboundOut = Any

    private let patience: TimeAmount
    /// Writes that the socket has not taken.
    private var waiting = 0
    /// When the socket had taken a write last, or there was none to take.
    private var since = NIODeadline.now()
    private var timer: Scheduled<Void>?

    init(patience: TimeAmount) { self.patience = patience }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        let promise = promise ?? context.eventLoop.makePromise(of: Void.self)
        if waiting == 0 { since = NIODeadline.now() }
        waiting += 1
        promise.futureResult.assumeIsolated().whenComplete { [self] _ in
            waiting -= 1
            since = NIODeadline.now()
        }
        if timer == nil { look(at: context.channel, in: patience) }
        context.write(data, promise: promise)
    }

    /// One timer for all writes: it is set anew when it has run out, not with each of them.
    private func look(at channel: any Channel, in time: TimeAmount) {
        timer = channel.eventLoop.assumeIsolated().scheduleTask(in: time) { [self] in
            timer = nil
            judge(channel)
        }
    }

    private func judge(_ channel: any Channel) {
        guard waiting > 0 else { return }
        let left = (since + patience) - NIODeadline.now()
        if left > .zero {
            look(at: channel, in: left)
        } else {
            channel.close(promise: nil)
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) { timer?.cancel() }
}
