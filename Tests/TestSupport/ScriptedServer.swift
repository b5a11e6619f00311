/// An HTTP/1.1 server on 127.0.0.1 that does what a test's script says, faults included, and records every request.
///
/// One thread for each connection; handlers run on it and may block, so that a script reads as it happens. At most 512
/// connections wait to be accepted; bodies over 64 MiB are counted and hashed, but cannot be collected.
public final class ScriptedServer: Sendable {
    /// Answers one request. Called when its head is complete; its body is read through the exchange, or afterwards as
    /// the answer's `bodyReading` says. An error other than the connection's end is answered with 500.
    public typealias Handler = @Sendable (Exchange) throws -> Response

    /// The port it listens on.
    public let port: Int
    /// `http://127.0.0.1:PORT`.
    public var origin: String { "http://127.0.0.1:\(port)" }
    /// `127.0.0.1:PORT`.
    public var authority: String { "127.0.0.1:\(port)" }

    struct State: Sendable {
        var handler: Handler
        var welcome: @Sendable (Int) -> Welcome = { _ in .serve }
        var requests: [Request] = []
        var accepted = 0
        var open: [Int: Socket] = [:]
        var gates: [Gate] = []
        var threads = 0
        var isStopped = false
    }

    let state: Monitor<State>
    private let listener: Socket
    private let isDown: Bool

    /// Starts to listen.
    ///
    /// - Parameters:
    ///   - isDown: whether it never does: then the port is its own until it is stopped, and connections are refused
    ///   - handler: answers every request, until `handle` sets another
    public init(isDown: Bool = false, _ handler: @escaping Handler) throws {
        (listener, port) = try Socket.listening(isDown: isDown)
        self.isDown = isDown
        state = Monitor(State(handler: handler))
        if !isDown { try start { self.acceptConnections() } }
    }

    /// Sets another handler for the requests to come.
    public func handle(_ handler: @escaping Handler) {
        state.update { $0.handler = handler }
    }

    /// Says what happens to the connections to come, by their number from 0.
    public func welcome(_ welcome: @escaping @Sendable (Int) -> Welcome) {
        state.update { $0.welcome = welcome }
    }

    /// Every request so far, in the order their heads came.
    public var requests: [Request] { state.current.requests }

    /// The connections accepted so far.
    public var connectionCount: Int { state.current.accepted }

    /// Suspends until the record of requests is as wanted.
    ///
    /// - Throws: `CancellationError`, so that a test's time limit ends the wait
    public func until(_ isReached: @escaping @Sendable ([Request]) -> Bool) async throws {
        try await state.wait { isReached($0.requests) }
    }

    /// Suspends until every connection but `count` has ended.
    ///
    /// - Throws: `CancellationError`, so that a test's time limit ends the wait
    public func untilOpenConnections(_ count: Int) async throws {
        try await state.wait { $0.open.count == count }
    }

    /// Ends every open connection, but goes on to listen: what a client sees of a server that was restarted.
    public func dropConnections() {
        for socket in state.read({ Array($0.open.values) }) { socket.interrupt() }
    }

    /// Opens every gate that a script waits at, ends every connection and waits for the threads. Idempotent.
    public func stop() async {
        let (gates, sockets) = state.update { state in
            state.isStopped = true
            return (state.gates, Array(state.open.values))
        }
        // Where a thread accepts connections, it closes the socket.
        if isDown { listener.close() } else { listener.interrupt() }
        for gate in gates { gate.open() }
        for socket in sockets { socket.interrupt() }
        try? await state.wait { $0.threads == 0 }
    }

    private func start(_ work: @escaping @Sendable () -> Void) throws {
        state.update { $0.threads += 1 }
        do {
            try startThread {
                work()
                self.state.update { $0.threads -= 1 }
            }
        } catch {
            state.update { $0.threads -= 1 }
            throw error
        }
    }

    private func acceptConnections() {
        defer { listener.close() }
        while let socket = listener.accept() {
            let number: Int? = state.update { state in
                guard !state.isStopped else { return nil }
                state.open[state.accepted] = socket
                state.accepted += 1
                return state.accepted - 1
            }
            guard let number else { return socket.close() }
            do {
                try start { self.serve(socket, number) }
            } catch {
                end(socket, number)
            }
        }
    }

    private func end(_ socket: Socket, _ number: Int) {
        socket.close()
        state.update { _ = $0.open.removeValue(forKey: number) }
    }

    private func serve(_ socket: Socket, _ number: Int) {
        defer { end(socket, number) }
        switch state.current.welcome(number) {
        case .serve: break
        case .reset: return socket.reset()
        case .close: return socket.finish()
        case .stall(let gate):
            guard (try? wait(gate)) != nil else { return }
        }
        let input = ConnectionInput(socket)
        var numberOnConnection = 0
        while let head = try? input.head() {
            let request: Request? = state.update { state in
                let request = Request(
                    head: head, number: state.requests.count, connection: number,
                    numberOnConnection: numberOnConnection)
                if let request { state.requests.append(request) }
                return request
            }
            guard let request else {
                try? socket.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return socket.finish()
            }
            guard Exchange(self, request, socket, input).run() else { return }
            numberOnConnection += 1
        }
    }

    /// Blocks the thread until the gate is open.
    ///
    /// - Throws: `ConnectionEnded` where it was the server's stop that opened it
    func wait(_ gate: Gate) throws {
        state.update { state in
            if state.isStopped { gate.open() } else { state.gates.append(gate) }
        }
        gate.block()
        if state.read({ $0.isStopped }) { throw ConnectionEnded() }
    }

    func record(_ number: Int, _ change: (inout Request) -> Void) {
        state.update { change(&$0.requests[number]) }
    }
}

/// Runs a scripted server for as long as `body` runs.
///
/// - Parameters:
///   - handler: answers every request
///   - body: the test
public func withScriptedServer<Result>(
    _ handler: @escaping ScriptedServer.Handler, _ body: (ScriptedServer) async throws -> Result
) async throws -> Result {
    let server = try ScriptedServer(handler)
    do {
        let result = try await body(server)
        await server.stop()
        return result
    } catch {
        await server.stop()
        throw error
    }
}
