import CLibcurl
import CGlibc
import Glibc
import Synchronization

/// The thread that owns libcurl's multi handle: every libcurl call of a client happens here.
///
/// `epoll` waits for the sockets that libcurl names, for its timer, and for an `eventfd` that announces commands from
/// other threads. State marked "loop only" is touched by that thread alone, which is what makes the class `Sendable`.
final class EventLoop: @unchecked Sendable {
    /// What other threads ask for.
    enum Command {
        case start(Exchange)
        case resume(Exchange)
        case cancel(Exchange)
        case shutdown
    }

    private struct Inbox {
        var commands: [Command] = []
        var isClosed = false
    }

    private let inbox = Mutex(Inbox())
    private let wakeup: Int32
    private let poll: Int32

    // Loop only from here on.
    private let multi: UnsafeMutableRawPointer?
    /// TLS sessions shared by all transfers, so that further connections to a host resume instead of handshaking anew.
    private let share: UnsafeMutableRawPointer?
    private var exchanges: [UnsafeMutableRawPointer: Exchange] = [:]
    /// Sockets that libcurl wants watched.
    private var watched: Set<Int32> = []
    /// When libcurl wants its timer to fire, in nanoseconds of the monotonic clock.
    private var deadline: UInt64?
    private var isStopping = false

    /// Starts the thread. Without descriptors or memory for it, every exchange fails with a message that says so.
    init(idleConnections: Int) {
        _ = Self.initializedLibcurl
        poll = epoll_create1(Int32(EPOLL_CLOEXEC))
        wakeup = eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK))
        multi = curl_multi_init()
        share = curl_share_init()
        guard poll >= 0, wakeup >= 0, let multi, let share else {
            inbox.withLock { $0.isClosed = true }
            return
        }
        let context = Unmanaged.passUnretained(self).toOpaque()
        rollcall_multi_setopt_pointer(multi, CURLMOPT_SOCKETDATA, context)
        rollcall_multi_setopt_socket(multi) { _, fd, what, context, _ in
            EventLoop.from(context)?.watch(fd, what)
            return 0
        }
        rollcall_multi_setopt_pointer(multi, CURLMOPT_TIMERDATA, context)
        rollcall_multi_setopt_timer(multi) { _, milliseconds, context in
            EventLoop.from(context)?.setTimer(milliseconds)
            return 0
        }
        rollcall_multi_setopt_long(multi, CURLMOPT_PIPELINING, Int(CURLPIPE_NOTHING))
        rollcall_multi_setopt_long(multi, CURLMOPT_MAXCONNECTS, idleConnections)
        rollcall_share_ssl_sessions(share)
        control(EPOLL_CTL_ADD, wakeup, EPOLLIN.rawValue)

        // The thread keeps the loop alive until it has stopped.
        var thread = pthread_t()
        let argument = Unmanaged.passRetained(self)
        let result = pthread_create(&thread, nil, { EventLoop.main($0) }, argument.toOpaque())
        guard result == 0 else {
            argument.release()
            inbox.withLock { $0.isClosed = true }
            return
        }
        pthread_detach(thread)
    }

    deinit {
        if poll >= 0 { close(poll) }
        if wakeup >= 0 { close(wakeup) }
    }

    /// Hands a command to the loop. `false` once the loop is stopping: the command will not be carried out.
    @discardableResult
    func submit(_ command: Command) -> Bool {
        let (accepted, wasEmpty) = inbox.withLock { inbox in
            guard !inbox.isClosed else { return (false, false) }
            inbox.commands.append(command)
            if case .shutdown = command { inbox.isClosed = true }
            return (true, inbox.commands.count == 1)
        }
        if wasEmpty { eventfd_write(wakeup, 1) }
        return accepted
    }

    // MARK: The thread

    private static let initializedLibcurl: CURLcode = rollcall_global_init()

    private static func from(_ context: UnsafeMutableRawPointer?) -> EventLoop? {
        context.map { Unmanaged<EventLoop>.fromOpaque($0).takeUnretainedValue() }
    }

    private static func main(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
        guard let argument else { return nil }
        rollcall_name_thread("rollcall-http")
        Unmanaged<EventLoop>.fromOpaque(argument).takeRetainedValue().run()
        return nil
    }

    private func run() {
        var events = [epoll_event](repeating: epoll_event(), count: 64)
        while !isStopping {
            let count = epoll_wait(poll, &events, Int32(events.count), waitMilliseconds())
            for event in events.prefix(Int(max(0, count))) {
                if event.data.fd == wakeup {
                    var value: eventfd_t = 0
                    eventfd_read(wakeup, &value)
                } else {
                    act(event.data.fd, event.events)
                }
            }
            runCommands()
            if let deadline, deadline <= Self.now() {
                self.deadline = nil
                act(rollcall_socket_timeout(), 0)
            }
            finishExchanges()
        }
        tearDown()
    }

    private func runCommands() {
        let commands = inbox.withLock { inbox in
            defer { inbox.commands.removeAll(keepingCapacity: true) }
            return inbox.commands
        }
        for command in commands {
            switch command {
            case .start(let exchange): start(exchange)
            case .resume(let exchange): resume(exchange)
            case .cancel(let exchange): cancel(exchange)
            case .shutdown: isStopping = true
            }
        }
    }

    private func start(_ exchange: Exchange) {
        guard !exchange.isCancelled, !isStopping else { return exchange.fail(.cancelled, "the request was cancelled") }
        guard let multi, let easy = exchange.prepare(share: share) else {
            return exchange.fail(.other, "out of memory")
        }
        exchanges[easy] = exchange
        let code = curl_multi_add_handle(multi, easy)
        if code != CURLM_OK {
            exchanges[easy] = nil
            exchange.fail(.other, String(cString: curl_multi_strerror(code)))
        }
    }

    private func cancel(_ exchange: Exchange) {
        exchange.isCancelled = true
        // Before its start, `start` sees the mark; after its end, there is nothing to do.
        guard let easy = exchange.easy, exchanges[easy] != nil else { return }
        remove(easy)
        exchange.fail(.cancelled, "the request was cancelled")
    }

    private func resume(_ exchange: Exchange) {
        guard let easy = exchange.easy, exchanges[easy] != nil else { return }
        let code = exchange.continueIfPaused()
        guard code != CURLE_OK else { return }
        remove(easy)
        exchange.finish(code)
    }

    private func remove(_ easy: UnsafeMutableRawPointer) {
        exchanges[easy] = nil
        if let multi { curl_multi_remove_handle(multi, easy) }
    }

    /// Tells libcurl what happened on a socket, or that its timer fired.
    private func act(_ fd: Int32, _ events: UInt32) {
        guard let multi else { return }
        var mask: Int32 = 0
        if events & EPOLLIN.rawValue != 0 { mask |= CURL_CSELECT_IN }
        if events & EPOLLOUT.rawValue != 0 { mask |= CURL_CSELECT_OUT }
        if events & (EPOLLERR.rawValue | EPOLLHUP.rawValue) != 0 { mask |= CURL_CSELECT_ERR }
        var running: Int32 = 0
        curl_multi_socket_action(multi, fd, mask, &running)
    }

    private func finishExchanges() {
        guard let multi else { return }
        var remaining: Int32 = 0
        while let message = curl_multi_info_read(multi, &remaining) {
            var result = CURLE_OK
            guard let raw = rollcall_message_done(message, &result) else { continue }
            let easy = raw
            guard let exchange = exchanges[easy] else { continue }
            remove(easy)
            exchange.finish(result)
        }
    }

    private func tearDown() {
        inbox.withLock { $0.isClosed = true }
        runCommands()
        for (easy, exchange) in exchanges {
            remove(easy)
            exchange.fail(.cancelled, "the HTTP client was shut down")
        }
        if let multi { curl_multi_cleanup(multi) }
        if let share { curl_share_cleanup(share) }
    }

    // MARK: What libcurl asks for

    private func watch(_ fd: Int32, _ what: Int32) {
        let events: UInt32
        switch what {
        case CURL_POLL_IN: events = EPOLLIN.rawValue
        case CURL_POLL_OUT: events = EPOLLOUT.rawValue
        case CURL_POLL_INOUT: events = EPOLLIN.rawValue | EPOLLOUT.rawValue
        default:
            // The descriptor may be closed already, and with that be out of the set: nothing to report.
            watched.remove(fd)
            control(EPOLL_CTL_DEL, fd, 0)
            return
        }
        // A descriptor number that was closed and reused is new to the kernel though not to us, and the other way round.
        let isKnown = !watched.insert(fd).inserted
        if control(isKnown ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, events) != 0 {
            control(errno == ENOENT ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, events)
        }
    }

    @discardableResult
    private func control(_ operation: Int32, _ fd: Int32, _ events: UInt32) -> Int32 {
        var event = epoll_event()
        event.events = events
        event.data.fd = fd
        return epoll_ctl(poll, operation, fd, &event)
    }

    /// libcurl's timer. It must not be served from inside this callback, not even at zero.
    private func setTimer(_ milliseconds: Int) {
        deadline = milliseconds < 0 ? nil : Self.now() + UInt64(milliseconds) * 1_000_000
    }

    private func waitMilliseconds() -> Int32 {
        guard let deadline else { return -1 }
        let now = Self.now()
        guard deadline > now else { return 0 }
        return Int32(clamping: (deadline - now + 999_999) / 1_000_000)
    }

    private static func now() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}
