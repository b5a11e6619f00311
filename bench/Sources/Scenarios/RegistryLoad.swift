import Glibc

/// What a registry does for its clients: our own beside Debian's `docker-registry`, with the same clients (curl).
struct RegistryLoad: Benchmark {
    /// One kind of load.
    enum Load: String, CaseIterable {
        case pull = "registry-pull"
        case pullMany = "registry-pull-64"
        case push = "registry-push"

        /// What is measured.
        func summary(_ bytes: Int) -> String {
            switch self {
            case .pull: "one client pulls a blob of \(bytesText(bytes))"
            case .pullMany: "64 clients at once pull a blob of \(bytesText(bytes)) each"
            case .push: "one client pushes a blob of \(bytesText(bytes)), which the registry verifies"
            }
        }

        /// The blob's usual size.
        var mebibytes: Double { self == .pullMany ? 100 : 1024 }

        var clients: Int { self == .pullMany ? 64 : 1 }

        /// What a run should take at most beside docker-registry's time.
        var target: Double { self == .push ? 1 / 1.5 : 1 }
    }

    let load: Load
    let work: WorkOptions

    var name: String { load.rawValue }
    var summary: String { load.summary(size) }
    var link: LinkParameters? { nil }
    var plan: CorpusPlan? { nil }
    /// The blob, the storage, and what an upload may keep meanwhile.
    var space: Int { size * 3 + 64 << 20 }
    /// The blob's size in bytes.
    private var size: Int { work.bytes(load.mebibytes) }

    private struct Contender {
        let name: String
        let kind: Tool.Kind
        let program: RegistryServer.Program
        let executable: String
        let version: String
    }

    /// - Throws: `BenchError` where the surroundings cannot be made; a wrong answer is a figure
    func run(in surroundings: Surroundings, _ record: (ScenarioFigures) -> Void) throws -> ScenarioFigures {
        let agent = "\(surroundings.binaries)/rollcall-agent"
        let blob = try makeBlob(size)
        defer { Scratch.remove(blob.path) }
        let contenders = [
            Contender(
                name: "rollcall-agent registry", kind: .ours, program: .rollcall(agent), executable: agent,
                version: version(of: agent)),
            Contender(
                name: "docker-registry", kind: .peer, program: .distribution, executable: "docker-registry",
                version: version(of: "docker-registry")),
        ].filter { Command.find($0.executable) != nil }
        var runs: [RunFigures] = []
        for round in 0..<surroundings.rounds {
            for index in contenders.indices {
                let contender = contenders[(index + round) % contenders.count]
                let figures = try measure(contender, blob, round, timeout: surroundings.timeout ?? 100)
                warn("\(load.rawValue), round \(round + 1): \(figures.line)")
                runs.append(figures)
                record(self.figures(contenders, blob, runs))
            }
        }
        return figures(contenders, blob, runs)
    }

    private func figures(_ contenders: [Contender], _ blob: Blob, _ runs: [RunFigures]) -> ScenarioFigures {
        let total = blob.size * load.clients
        let tools = contenders.map { contender in
            ToolSummary(
                tool: contender.name, kind: contender.kind, version: contender.version,
                command: command("HOST:PORT", blob).text,
                runs: runs.filter { $0.tool == contender.name }, needed: total)
        }
        return ScenarioFigures(
            name: name, summary: summary, link: nil, settings: [:], images: 0, blobs: 1,
            bytes: total, limit: nil,
            limitReason: "at most \(fixed(load.target, 2)) of docker-registry's time, and 100 MiB of memory",
            forwarderCPU: nil, tools: ScenarioFigures.compare(tools, limit: nil), runs: runs,
            parameters: ["clients": load.clients])
    }

    private struct Blob {
        let path: String
        let digest: String
        let size: Int
    }

    private func makeBlob(_ bytes: Int) throws -> Blob {
        let path = "\(try Scratch.directory("blob"))/data"
        try Command(["sh", "-c", "head -c \(bytes) /dev/urandom >'\(path)'"]).run(timeout: 120)
        let output = try Command(["sha256sum", "--", path]).run(timeout: 120)
        let digest = String(decoding: output.prefix { $0 != UInt8(ascii: " ") }, as: UTF8.self)
        return Blob(path: path, digest: "sha256:\(digest)", size: bytes)
    }

    private func version(of executable: String) -> String {
        let output = (try? Command([executable, "--version"]).run(timeout: 20)) ?? []
        return String(decoding: output.prefix(80).filter { $0 >= 0x20 }, as: UTF8.self)
    }

    private func command(_ authority: String, _ blob: Blob) -> Command {
        let url = "http://\(authority)/v2/bench/blob/blobs/\(blob.digest)"
        switch load {
        case .pull: return Command(["curl", "-fsS", "-o", "/dev/null", url])
        case .pullMany:
            return Command([
                "sh", "-c", "seq \(load.clients) | xargs -P \(load.clients) -I{} curl -fsS -o /dev/null \(url)",
            ])
        case .push: return push(authority, blob)
        }
    }

    /// POST, then PUT with the whole blob, as clients of registries do.
    private func push(_ authority: String, _ blob: Blob) -> Command {
        Command([
            "sh", "-c",
            """
            set -e
            l=$(curl -fsS -i -X POST http://\(authority)/v2/bench/blob/blobs/uploads/ | tr -d '\\r' \
                | sed -n 's/^[Ll]ocation: //p')
            case $l in http*) ;; *) l=http://\(authority)$l;; esac
            case $l in *\\?*) l="$l&";; *) l="$l?";; esac
            curl -fsS -o /dev/null -H Expect: -H 'Content-Type: application/octet-stream' \
                -T '\(blob.path)' "${l}digest=\(blob.digest)"
            """,
        ])
    }

    private func measure(_ contender: Contender, _ blob: Blob, _ round: Int, timeout: Double) throws -> RunFigures {
        let directory = try Scratch.directory("served")
        defer { Scratch.remove(directory) }
        let storage = "\(directory)/storage"
        try Scratch.makeDirectory(storage)
        if load != .push {
            // Another process than the one that is measured, so that its memory is not counted.
            let server = try RegistryServer(contender.program, storage: storage, isReadOnly: false)
            try push(server.authority, blob).run(timeout: 120)
        }
        let server = try RegistryServer(contender.program, storage: storage, isReadOnly: load != .push)
        let machineLoad = Machine.load()
        let before = server.cpu
        let child = try Child(
            command(server.authority, blob), output: "\(directory)/output", errors: "\(directory)/errors")
        let ending = child.wait(timeout: timeout)
        var figures = RunFigures(
            tool: contender.name, round: round, outcome: .verified, wall: ending.wall, user: server.cpu - before,
            system: 0, peakMemory: server.peakMemory, sourceCPU: 0, destinationCPU: 0, load: machineLoad)
        guard ending.isSuccess else {
            figures.outcome = ending.timedOut ? .timedOut : .failed
            figures.note = "\(ending.words): \(Scratch.tail(of: "\(directory)/errors"))"
            return figures
        }
        let url = "http://\(server.authority)/v2/bench/blob/blobs/\(blob.digest)"
        let served = try Command(["sh", "-c", "curl -fsS \(url) | sha256sum"]).run(timeout: 120)
        if !"sha256:\(String(decoding: served, as: UTF8.self))".hasPrefix(blob.digest) {
            figures.outcome = .wrong
            figures.note = "it serves other bytes"
        }
        return figures
    }
}
