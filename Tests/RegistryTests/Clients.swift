import HTTP
import OCI
import Registry
import Synchronization
import TestSupport

/// Runs `body` with a client of a registry; no waits, since the clock is the test's own.
func withClient<Result>(
    _ origin: String, user: (name: String, password: String)? = nil, clock: ManualClock = ManualClock(),
    limits: HostGate.Limits = HostGate.Limits(), retry: RetryPolicy = RetryPolicy(),
    tls: TLSConfiguration = TLSConfiguration(), _ body: (RegistryClient) async throws -> Result
) async throws -> Result {
    try await withTemporaryDirectory { directory in
        let http = HTTPClient()
        defer { http.shutdown() }
        let endpoint = try RegistryEndpoint(origin, tls: tls, proxy: "")
        var credentials: CredentialStore?
        if let user {
            let path = try directory.write("auth.json", authFile(endpoint.name, user))
            credentials = CredentialStore(authFile: path, environment: [:], timing: clock.timing)
        }
        let configuration = RegistryClient.Configuration(
            gates: HostGates(limits: limits, timing: clock.timing), retry: retry, timing: clock.timing,
            certificates: CertificateDirectory(paths: []))
        return try await body(
            RegistryClient(endpoint, http: http, credentials: credentials, configuration: configuration))
    }
}

/// A credentials file for one registry.
func authFile(_ host: String, _ user: (name: String, password: String)) -> String {
    "{\"auths\":{\"\(host)\":{\"username\":\"\(user.name)\",\"password\":\"\(user.password)\"}}}"
}

/// Collects what it is given.
final class CollectingSink: BodySink {
    private struct State {
        var heads = 0
        var bytes: [UInt8] = []
    }
    private let state = Mutex(State())
    private let limit: Int

    /// - Parameter limit: bytes after which the sink refuses
    init(limit: Int = .max) { self.limit = limit }

    var bytes: [UInt8] { state.withLock(\.bytes) }
    /// How many responses it was shown.
    var heads: Int { state.withLock(\.heads) }

    func begin(_ head: HTTPResponseHead, _ control: TransferControl) -> BodyDisposition {
        state.withLock { $0.heads += 1 }
        return .stream
    }

    func receive(_ bytes: UnsafeRawBufferPointer) -> BodySinkAnswer {
        state.withLock { state in
            guard state.bytes.count + bytes.count <= limit else { return .refuse }
            state.bytes.append(contentsOf: bytes)
            return .consumed
        }
    }
}

/// Gives bytes once.
final class BytesSource: BodySource {
    private let bytes: [UInt8]
    private let offset = Mutex(0)

    init(_ bytes: some Sequence<UInt8>) { self.bytes = Array(bytes) }

    func begin(_ control: TransferControl) {}

    func read(into buffer: UnsafeMutableRawBufferPointer) -> BodySourceAnswer {
        offset.withLock { offset in
            let count = min(buffer.count, bytes.count - offset)
            guard count > 0 else { return .fail }
            buffer.copyBytes(from: bytes[offset..<offset + count])
            offset += count
            return .bytes(count)
        }
    }
}

/// Gives bytes once, and then waits until it is told to fail.
final class BreakingSource: BodySource {
    private struct State {
        var control: TransferControl?
        var isBroken = false
    }
    private let bytes: BytesSource
    private let left: Mutex<Int>
    private let state = Mutex(State())

    init(_ bytes: some Collection<UInt8>) {
        self.bytes = BytesSource(bytes)
        left = Mutex(bytes.count)
    }

    func breakOff() {
        let control = state.withLock { state in
            state.isBroken = true
            return state.control
        }
        control?.resume()
    }

    func begin(_ control: TransferControl) { state.withLock { $0.control = control } }

    func read(into buffer: UnsafeMutableRawBufferPointer) -> BodySourceAnswer {
        if left.withLock({ $0 }) == 0 { return state.withLock(\.isBroken) ? .fail : .pause }
        let answer = bytes.read(into: buffer)
        if case .bytes(let count) = answer { left.withLock { $0 -= count } }
        return answer
    }
}

/// The registry error that `body` ends with.
func registryError(_ body: () async throws -> Void) async throws -> RegistryError? {
    do {
        try await body()
        return nil
    } catch let error as RegistryError {
        return error
    }
}

extension ScriptedServer.Request {
    /// `METHOD PATH`.
    var line: String { "\(method) \(path)" }
}
