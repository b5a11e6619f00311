import FoundationEssentials
import Glibc
import HTTP
import TestSupport
import Testing

/// `rollcall serve` of a workplace's fleet as a process, on a free port.
struct GateProcess {
    let process: ChildProcess
    let origin: String
    let client = HTTPClient()

    init(_ workplace: Workplace, _ arguments: String...) async throws {
        let log = workplace.directory.file("serve.log")
        process = try ChildProcess(
            [Workplace.executable, "serve", "--listen", "127.0.0.1:0", "--without-tls"] + arguments,
            environment: [
                "ROLLCALL_FLEET": "", "TERM": "dumb", "ROLLCALL_CACHE": "none", "http_proxy": "", "no_proxy": "*",
            ], directory: workplace.directory.path, output: "/dev/null", errors: log)
        while true {
            let text = String(decoding: (try? workplace.directory.read("serve.log")) ?? [], as: UTF8.self)
            // The line that says so, once it is whole: others may name the store's address before it.
            let lines = text.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
            let line = lines.first { $0.contains("\"listening\"") } ?? ""
            if let range = line.firstRange(of: "127.0.0.1:"),
                let port = Int(line[range.upperBound...].prefix { $0.isNumber })
            {
                origin = "http://127.0.0.1:\(port)"
                return
            }
            guard process.isRunning else { throw TestSupportError("serve ended at once: \(text)") }
            try await Task.sleep(for: .milliseconds(20))
        }
    }

    func get(_ path: String, token: String? = nil) async throws -> HTTPResponse {
        var request = HTTPRequest(.get, try HTTPURL(origin + path))
        if let token { request.headers["Authorization"] = "Bearer \(token)" }
        request.proxy = ""
        return try await client.send(request)
    }

    func end() async {
        client.shutdown()
        process.signal(SIGTERM)
        #expect(await process.ended() == 0)
    }
}
