import FoundationEssentials
import Glibc
import Readiness
import TestSupport
import Testing

/// `rollcall watch` on a terminal, which tmux is, and without one.
@Suite(.timeLimit(.minutes(5))) struct WatchTests {
    /// A terminal of 100 columns and 30 rows, in which a shell runs.
    private struct Screen {
        let workplace: Workplace
        private let socket: String

        init(_ workplace: Workplace) async throws {
            self.workplace = workplace
            socket = workplace.directory.file("tmux")
            try await tmux("-f", "/dev/null", "new-session", "-d", "-x", "100", "-y", "30", "sh")
            try await type("PS1='$ '; stty -a | grep -c -- '-echo '; echo before")
            try await shows("0\nbefore\n$")
        }

        @discardableResult
        private func tmux(_ arguments: String...) async throws -> CommandResult {
            try await runCommand(
                ["tmux", "-u", "-S", socket] + arguments,
                environment: [
                    "TERM": "xterm-256color", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "NO_COLOR": "", "ENV": "",
                ],
                directory: workplace.directory.path)
        }

        /// Types a line into the shell.
        func type(_ line: String) async throws { try await tmux("send-keys", "-l", line + "\n") }
        func press(_ key: String) async throws { try await tmux("send-keys", key) }
        func resize(_ columns: Int, _ rows: Int) async throws {
            try await tmux("resize-window", "-x", "\(columns)", "-y", "\(rows)")
        }
        func text() async throws -> String { try await tmux("capture-pane", "-p").text }
        private func coloured() async throws -> String { try await tmux("capture-pane", "-p", "-e").text }
        func end() async { _ = try? await tmux("kill-server") }

        /// Waits until the screen shows something.
        ///
        /// - Parameter inColour: whether the words have their colours' sequences
        func shows(_ words: String, inColour: Bool = false) async throws {
            let end = ContinuousClock.now + .seconds(240)
            while try await !(inColour ? coloured() : text()).contains(words) {
                guard ContinuousClock.now < end else {
                    throw TestSupportError("no '\(words)' in:\n\(try await text())")
                }
                try await Task.sleep(for: .milliseconds(20))
            }
        }

        /// Waits until the shell has its terminal back as it was, with what was on it.
        func isGivenBack(_ status: Int) async throws {
            try await shows("status \(status)")
            let text = try await text()
            #expect(text.contains("before\n$"))
            #expect(!text.contains("gates ready"))
            try await type("stty -a | grep -c -- '-icanon\\|-echo \\|-isig'; echo checked")
            try await shows("0\nchecked")
        }
    }

    private static let hasTmux: Bool = {
        let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
        return path.split(separator: ":").contains { FileManager.default.isExecutableFile(atPath: "\($0)/tmux") }
    }()

    private static func with(_ body: (Workplace, Screen) async throws -> Void) async throws {
        guard hasTmux else { return print("not tested on a terminal: tmux is not installed") }
        try await Workplace.with { workplace in
            let list = try workplace.write(Workplace.list(layers: 3))
            _ = try await workplace.run("stage", "list.json", "--environment", "lab")
            try await workplace.prove(list, at: "lab-1")
            let screen = try await Screen(workplace)
            do {
                try await body(workplace, screen)
            } catch {
                await screen.end()
                throw error
            }
            await screen.end()
        }
    }

    private static let command = "\(Workplace.executable) watch --fleet fleet.yaml --interval 1s; echo status $?"

    @Test func theScreenFollowsTheFleet() async throws {
        try await Self.with { workplace, screen in
            try await screen.type(Self.command)
            try await screen.shows("lab  0 of 1 gate ready, 2 sites")
            try await screen.shows("✕ platform  █████░░░░░ 1/2")
            try await screen.shows("silent: it has no cache manifest")
            try await screen.shows("\u{1B}[1m\u{1B}[31m✕", inColour: true)
            #expect(try await !screen.text().contains("lab-1"))
            try await screen.press("a")
            try await screen.shows("✓ lab-1")
            try await screen.press("d")
            try await screen.shows("blocked: silent")
            try await screen.press("?")
            try await screen.shows("Ctrl-C")
            try await screen.press("?")
            try await screen.resize(60, 8)
            try await screen.shows("q quit")
            try await screen.press("G")
            try await screen.shows("prod-1")
            try await screen.press("g")
            try await workplace.prove(Workplace.list(layers: 3), at: "lab-2")
            try await screen.shows("lab  1 of 1 gate ready")
            // What cannot be read is said, and mends itself.
            let store = workplace.directory.file("store")
            try FileManager.default.moveItem(atPath: store, toPath: store + ".away")
            try await screen.shows("Out of date since ")
            try FileManager.default.moveItem(atPath: store + ".away", toPath: store)
            while try await screen.text().contains("Out of date") { try await Task.sleep(for: .milliseconds(20)) }
            try await screen.press("q")
            try await screen.isGivenBack(0)
        }
    }

    /// Whatever ends it, the terminal is as it was.
    @Test(arguments: [("C-c", 0), ("TERM", 143), ("HUP", 129)])
    func theTerminalIsGivenBack(_ ending: String, _ status: Int) async throws {
        try await Self.with { workplace, screen in
            try await screen.type(
                "sh -c 'echo $$ > pid; exec \(Workplace.executable) watch --fleet fleet.yaml'; echo status $?")
            try await screen.shows("lab  0 of 1 gate ready")
            if ending.hasPrefix("C-") {
                try await screen.press(ending)
            } else {
                let pid = String(decoding: try workplace.directory.read("pid"), as: UTF8.self)
                _ = try await runCommand(["sh", "-c", "kill -\(ending) \(pid)"])
            }
            try await screen.isGivenBack(status)
        }
    }

    @Test func itCanBeSuspended() async throws {
        try await Self.with { _, screen in
            try await screen.type(Self.command)
            try await screen.shows("lab  0 of 1 gate ready")
            try await screen.press("C-z")
            // 128 and SIGSTOP's number: the shell goes on, and not only its screen is back.
            try await screen.shows("status \(128 + SIGSTOP)")
            #expect(try await !screen.text().contains("gate ready"))
            try await screen.type("clear; fg; echo le''ft-it")
            try await screen.shows("lab  0 of 1 gate ready")
            try await screen.press("q")
            // What is typed before that is still the screen's to read.
            try await screen.shows("left-it")
            try await screen.type("echo a''gain")
            try await screen.shows("again")
        }
    }

    @Test func withoutATerminalChangesArePrinted() async throws {
        try await Workplace.with { workplace in
            let list = try workplace.write(Workplace.list())
            _ = try await workplace.run("stage", "list.json", "--environment", "lab")
            try await workplace.prove(list, at: "lab-1")
            let output = workplace.directory.file("watch.log")
            let process = try ChildProcess(
                [Workplace.executable, "watch", "lab", "--interval", "1s", "--color", "always"],
                environment: ["ROLLCALL_FLEET": ""], directory: workplace.directory.path, output: output,
                errors: "/dev/null")
            func lines() -> [String] {
                String(decoding: (try? workplace.directory.read("watch.log")) ?? [], as: UTF8.self)
                    .split(separator: "\n").map { String($0.drop { $0 != " " }) }
            }
            while lines().isEmpty { try await Task.sleep(for: .milliseconds(20)) }
            try await workplace.prove(list, at: "lab-2")
            while lines().count < 2 { try await Task.sleep(for: .milliseconds(20)) }
            #expect(
                lines() == [
                    " platform in lab: blocked, 1 of 2 sites ready; silent at lab-2",
                    " platform in lab: ready, 2 of 2 sites ready",
                ])
            process.signal(SIGTERM)
            #expect(await process.ended() == 128 + Int(SIGTERM))
        }
    }

    @Test func whatIsNotThereIsSaid() async throws {
        try await Workplace.with { workplace in
            let result = try await workplace.run("watch", "moon")
            #expect(result.status == 64)
            #expect(result.errorText.contains("neither an environment nor a list 'moon': there are lab, production"))
        }
    }
}
