import FoundationEssentials
import Glibc

/// Passes that somebody asks of the agent that runs, so that `sync` and `verify` need not stop it: files in the state
/// directory, which only its user can write.
///
/// Who asks writes `requests/ID.sync` or `requests/ID.verify`, the agent answers in `requests/ID.answer`, and who asked
/// removes both. An agent that starts anew answers what it finds.
struct PassRequests: Sendable {
    /// One who asks.
    struct Request: Hashable, Sendable {
        let id: String
        let mode: SitePass.Mode
    }

    /// What a pass came to.
    struct Answer: Codable, Sendable {
        /// How it ended, as `AgentStatus.Outcome`.
        let outcome: String
        /// What it came to in one line, or why it failed.
        let summary: String
        /// What failed and what is missing, bounded by `PassReport`.
        var complaints: [String] = []

        init(_ report: PassReport) {
            outcome = (report.isComplete ? AgentStatus.Outcome.complete : .incomplete).rawValue
            summary = report.summary
            complaints = report.complaints
        }

        init(failure: any Error) {
            outcome = AgentStatus.Outcome.failed.rawValue
            summary = "\(failure)"
        }
    }

    /// How often either side looks.
    static let interval = Duration.milliseconds(500)
    /// The most requests that are answered by one pass, and the most bytes that an answer has.
    static let maximum = 64
    static let maximumAnswer: Int64 = 1 << 20
    /// When what nobody has taken back is removed: after a day.
    static let leftoverAge = 86_400

    private let directory: String

    /// - Parameter state: the state directory
    init(in state: String) { directory = "\(state)/requests" }

    // MARK: The agent

    /// Who asks now.
    var pending: [Request] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
        return names.sorted().prefix(Self.maximum).compactMap { name in
            let parts = name.split(separator: ".", maxSplits: 1).map(String.init)
            guard parts.count == 2, let mode = SitePass.Mode(rawValue: parts[1]) else { return nil }
            return Request(id: parts[0], mode: mode)
        }
    }

    /// Waits until somebody asks, or the task is cancelled.
    func wait() async {
        while !Task.isCancelled, pending.isEmpty { try? await Task.sleep(for: Self.interval) }
    }

    /// Tells those who asked what their pass came to.
    func answer(_ requests: [Request], _ answer: Answer) {
        guard !requests.isEmpty else { return }
        removeLeftovers()
        for request in requests {
            // Who went away meanwhile has removed the request, and needs no answer.
            guard unlink(path(request)) == 0 else { continue }
            try? write(JSONEncoder().encode(answer), to: "\(directory)/\(request.id).answer")
        }
    }

    private func removeLeftovers() {
        for name in (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? [] {
            var status = stat()
            guard stat("\(directory)/\(name)", &status) == 0, status.st_mtim.tv_sec + Self.leftoverAge < time(nil)
            else {
                continue
            }
            unlink("\(directory)/\(name)")
        }
    }

    // MARK: Who asks

    /// Takes the state directory, or has the agent that runs there make a pass.
    ///
    /// - Parameters:
    ///   - state: the state directory
    ///   - onAsking: called with the agent's process id before it is asked
    /// - Throws: `AgentError.stateLocked` where another command has the directory; `.stateUnusable`; `CancellationError`
    static func take(
        _ state: String, orAskFor mode: SitePass.Mode, onAsking: (String) -> Void
    ) async throws -> Taken {
        let requests = PassRequests(in: state)
        let request = Request(id: "\(getpid())-\(String(UInt64.random(in: .min ... .max), radix: 16))", mode: mode)
        defer { requests.takeBack(request) }
        var isAsked = false
        while true {
            do throws(AgentError) {
                return .directory(try StateDirectory(path: state))
            } catch {
                let holder = StateDirectory.holder(of: state)
                guard error.code == .stateLocked, holder.takesRequests || isAsked else { throw error }
                if !isAsked { onAsking(holder.process) }
            }
            if let answer = requests.answer(to: request) { return .answer(answer) }
            if !isAsked || !requests.isPending(request) {
                // Once more where it was lost; unless it was answered just now.
                if let answer = requests.answer(to: request) { return .answer(answer) }
                try requests.ask(request)
                isAsked = true
            }
            try await Task.sleep(for: interval)
        }
    }

    /// What came of asking.
    enum Taken {
        /// Nobody has the directory: it is the caller's now.
        case directory(StateDirectory)
        /// The agent that runs there has made a pass.
        case answer(Answer)
    }

    private func ask(_ request: Request) throws(AgentError) {
        do {
            try FileManager.default.createDirectory(
                atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
            try write(Data(), to: path(request))
        } catch {
            throw AgentError(
                .stateUnusable,
                "\(directory): cannot ask the agent that runs for a pass (\(error)): run this as its user")
        }
    }

    private func isPending(_ request: Request) -> Bool { access(path(request), F_OK) == 0 }

    private func answer(to request: Request) -> Answer? {
        let path = "\(directory)/\(request.id).answer"
        var status = stat()
        guard stat(path, &status) == 0, status.st_size <= Self.maximumAnswer,
            let bytes = FileManager.default.contents(atPath: path)
        else { return nil }
        return try? JSONDecoder().decode(Answer.self, from: bytes)
    }

    private func takeBack(_ request: Request) {
        unlink(path(request))
        unlink("\(directory)/\(request.id).answer")
    }

    private func path(_ request: Request) -> String { "\(directory)/\(request.id).\(request.mode.rawValue)" }

    /// Old or new, and never half.
    private func write(_ bytes: Data, to path: String) throws {
        try bytes.write(to: URL(filePath: path), options: .atomic)
    }
}
