import FoundationEssentials
import Glibc
import HTTP
import Synchronization
import TestSupport

@testable import Agent

/// `rollcall-agent run` as a process with a status server, at a site.
struct Daemon: Sendable {
    let site: RealSite
    let process: ChildProcess
    let errors: String
    let http = HTTPClient()

    /// Runs the agent of a site while `body` runs, and ends it.
    static func with(
        _ site: RealSite, settings: String = "", environment: [String: String] = [:],
        _ body: (Daemon) async throws -> Void
    ) async throws {
        let path = site.directory.file(site.config)
        let text = String(decoding: try Data(contentsOf: URL(filePath: path)), as: UTF8.self)
        try site.directory.write(site.config, text + "http: {listen: '127.0.0.1:0'}\n" + settings)
        let errors = site.directory.file("run.log")
        let daemon = Daemon(
            site: site,
            process: try ChildProcess(
                [AgentProcess.path, "run", "--config", site.config],
                environment: AgentProcess.environment(site.directory).merging(environment) { $1 },
                directory: site.directory.path, output: "/dev/null", errors: errors),
            errors: errors)
        defer {
            daemon.process.signal(SIGKILL)
            daemon.http.shutdown()
        }
        try await body(daemon)
    }

    var log: String { (try? Data(contentsOf: URL(filePath: errors))).map { String(decoding: $0, as: UTF8.self) } ?? "" }

    /// Waits until the log holds a text as often as said.
    func logs(_ text: String, times: Int = 1) async throws {
        try await waits("log of '\(text)'") {
            log.split(separator: text, omittingEmptySubsequences: false).count > times
        }
    }

    /// Waits until something holds that the process brings about.
    func waits(_ what: String, until holds: () async throws -> Bool) async throws {
        while try await !holds() {
            guard process.isRunning else { throw TestSupportError("the agent ended before \(what): \(log)") }
            try await Task.sleep(for: .milliseconds(20))
        }
    }

    func get(_ path: String) async throws -> (status: Int, text: String) {
        try await logs("status and metrics are served")
        let line = log.split(separator: "\n").first { $0.contains("status and metrics are served") } ?? ""
        // "address":"[IPv4]127.0.0.1/127.0.0.1:45011"
        let port = line.split(separator: "\"address\":\"").last?.prefix { $0 != "\"" }.split(separator: ":").last ?? ""
        let response = try await http.send(HTTPRequest(.get, HTTPURL("http://127.0.0.1:\(port)\(path)")))
        return (response.status, String(decoding: response.body, as: UTF8.self))
    }

    func write(_ settings: String) throws {
        // In one step, as editors and Kubernetes do it.
        let path = try site.directory.write("\(site.config).new", settings)
        guard rename(path, site.directory.file(site.config)) == 0 else {
            throw TestSupportError("cannot rename \(path)")
        }
    }

    var settings: String {
        get throws {
            String(decoding: try Data(contentsOf: URL(filePath: site.directory.file(site.config))), as: UTF8.self)
        }
    }
}

/// A datagram socket as a service manager has it.
final class NotifySocket: Sendable {
    let descriptor: Int32
    /// As `NOTIFY_SOCKET` has it.
    let address: String

    /// - Parameter name: a path, or `@NAME`
    init(_ name: String) throws {
        address = name
        descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw TestSupportError("cannot make a socket") }
        var bytes = Array(name.utf8)
        if bytes.first == UInt8(ascii: "@") { bytes[0] = 0 }
        var place = sockaddr_un()
        place.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &place.sun_path) { $0.copyBytes(from: bytes) }
        let bound = withUnsafePointer(to: &place) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(2 + bytes.count))
            }
        }
        guard bound == 0 else { throw TestSupportError("cannot bind \(name)") }
    }

    deinit { close(descriptor) }

    /// All that was told and not read yet, datagram by datagram.
    func told() -> [String] {
        var messages: [String] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = recv(descriptor, &buffer, buffer.count, Int32(MSG_DONTWAIT))
            guard count > 0 else { return messages }
            messages.append(String(decoding: buffer.prefix(count), as: UTF8.self))
        }
    }
}
