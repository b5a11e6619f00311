import FoundationEssentials
import Glibc

/// An S3 store on loopback: SeaweedFS, with one bucket.
final class SeaweedFS {
    private static let user = "rollcallbench:rollcall-bench-secret"

    /// The bucket, as configuration files write it.
    var url: String { "s3://rollcall?endpoint=http://127.0.0.1:\(port)&region=us-east-1" }
    /// The variables that give its credentials to a process.
    let environment = ["AWS_ACCESS_KEY_ID": "rollcallbench", "AWS_SECRET_ACCESS_KEY": "rollcall-bench-secret"]

    private let port: Int
    /// `HOST:PORT` of its metrics.
    private let metrics: String
    private let directory: String
    private let child: Child

    /// Where the program lies: on `PATH`, or where `scripts/test` puts it; `nil` where it is not there.
    static var program: String? {
        if let path = Command.find("weed") { return path }
        func variable(_ name: String) -> String? {
            getenv(name).map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
        }
        let cache = variable("XDG_CACHE_HOME") ?? "\(variable("HOME") ?? "")/.cache"
        return Command.find("\(cache)/rollcall/weed")
    }

    /// Starts the server and makes the bucket.
    ///
    /// - Throws: `BenchError` where it is not installed, or does not answer within a minute
    init() throws {
        guard let program = Self.program else {
            throw BenchError(
                .unavailable, "SeaweedFS (weed) is not here: scripts/bench-smoke and scripts/test install it")
        }
        directory = try Scratch.directory("seaweedfs")
        let sockets = try (0..<9).map { _ in try Socket(SOCK_STREAM, bound: "127.0.0.1") }
        let ports = sockets.map(\.port)
        port = ports[0]
        metrics = "127.0.0.1:\(ports[8])"
        try Scratch.makeDirectory("\(directory)/data")
        let keys = Self.user.split(separator: ":")
        try Scratch.write(
            """
            {"identities": [{"name": "bench", "actions": ["Admin"],
              "credentials": [{"accessKey": "\(keys[0])", "secretKey": "\(keys[1])"}]}]}
            """, to: "\(directory)/s3.json")
        let services = ["s3", "master", "volume", "filer"].enumerated().flatMap { index, service in
            ["-\(service).port=\(ports[2 * index])", "-\(service).port.grpc=\(ports[2 * index + 1])"]
        }
        child = try Child(
            Command(
                [
                    program, "-logdir=\(directory)", "server", "-dir=\(directory)/data", "-ip=127.0.0.1",
                    "-ip.bind=127.0.0.1", "-s3", "-s3.config=\(directory)/s3.json", "-s3.iam=false",
                    "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.autoCreateBucket=false", "-master.telemetry=false",
                    "-master.heartbeatInterval=100ms", "-master.electionTimeout=1s", "-master.volumeSizeLimitMB=64",
                    "-volume.max=8", "-metricsPort=\(ports[8])", "-metricsIp=127.0.0.1",
                ] + services),
            output: "\(directory)/output", errors: "\(directory)/errors")
        try withExtendedLifetime(sockets) { try makeBucket() }
    }

    deinit {
        // Its data is scratch, and in order it takes long to stop.
        _ = child.end(SIGKILL)
        Scratch.remove(directory)
    }

    /// What it has answered so far; `nil` where it does not say.
    var counters: S3Counters? {
        // A request is counted after its answer was sent.
        pause(milliseconds: 50)
        guard let page = try? Command(["curl", "--disable", "-fsS", "http://\(metrics)/metrics"]).run() else {
            return nil
        }
        return S3Counters(String(decoding: page, as: UTF8.self))
    }

    /// CPU seconds it has used so far.
    var cpu: Double { child.cpu }

    /// Puts every file below a directory, with its path there as the key.
    func upload(_ root: String, below prefix: String) throws {
        let output = try Command(["find", "\(root)/\(prefix)", "-type", "f", "-printf", "%P\\n"]).run()
        let keys = String(decoding: output, as: UTF8.self).split(whereSeparator: \.isNewline)
        guard !keys.isEmpty else { return }
        let requests = keys.map { key in
            """
            fail
            silent
            show-error
            aws-sigv4 = "aws:amz:us-east-1:s3"
            user = "\(Self.user)"
            header = "x-amz-content-sha256: UNSIGNED-PAYLOAD"
            upload-file = "\(root)/\(prefix)/\(key)"
            url = "http://127.0.0.1:\(port)/rollcall/\(prefix)/\(key)"
            output = "/dev/null"

            """
        }
        let file = "\(directory)/requests"
        try Scratch.write(requests.joined(separator: "next\n"), to: file)
        try Command(["curl", "--disable", "--parallel", "--parallel-max", "8", "--config", file]).run(timeout: 120)
    }

    private func makeBucket() throws {
        for attempt in 1... {
            let answer = try? Command([
                "curl", "--disable", "-fsS", "--aws-sigv4", "aws:amz:us-east-1:s3", "--user", Self.user, "--header",
                "x-amz-content-sha256: UNSIGNED-PAYLOAD", "--request", "PUT", "--output", "/dev/null",
                "http://127.0.0.1:\(port)/rollcall",
            ]).run(timeout: 20)
            if answer != nil { return }
            guard attempt < 300, !child.hasEnded else {
                throw BenchError(
                    .command, "SeaweedFS does not answer on port \(port): \(Scratch.tail(of: "\(directory)/errors"))")
            }
            pause(milliseconds: 200)
        }
    }
}
