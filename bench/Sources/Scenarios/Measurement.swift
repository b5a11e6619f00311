/// Measures a command on a stage: the process, the registries and the link.
struct Measurement {
    let stage: Stage
    /// Where the command's output goes.
    let directory: String

    /// Runs the command to its end.
    ///
    /// - Parameters:
    ///   - interval: seconds between two looks at the link
    ///   - afterwards: seconds for which the link is watched after the end, for what is under way then
    ///   - starting: called at the moment from which everything is timed
    /// - Throws: `BenchError` where it cannot be started
    func run(
        _ command: Command, tool: String, round: Int, timeout: Double, interval: Double = 0.1,
        afterwards: Double = 0, starting: () -> Void = {}
    ) throws -> RunFigures {
        let load = Machine.load()
        let counts = stage.counts
        let before = (stage.link?.snapshot, stage.source.cpu, stage.destination.cpu)
        var timeline = Timeline()
        starting()
        let start = monotonicSeconds()
        func look() {
            guard let link = stage.link, let before = before.0 else { return }
            let now = link.snapshot
            timeline.add(
                monotonicSeconds() - start, down: now.down.payload - before.down.payload,
                up: now.up.payload - before.up.payload)
        }
        look()
        let child = try Child(
            command, in: stage.link?.near, output: "\(directory)/output", errors: "\(directory)/errors")
        let ending = child.wait(timeout: timeout, every: interval, sample: look)
        look()
        let end = monotonicSeconds() + afterwards
        while monotonicSeconds() < end {
            pause(milliseconds: 10)
            look()
        }
        var figures = RunFigures(
            tool: tool, round: round, ending: ending, sourceCPU: stage.source.cpu - before.1,
            destinationCPU: stage.destination.cpu - before.2)
        if let link = stage.link, let before = before.0 {
            let after = link.snapshot
            figures.down = after.down - before.down
            figures.up = after.up - before.up
            figures.timeline = timeline
        }
        figures.load = load
        figures.traffic = stage.counts.since(counts)
        if !ending.isSuccess {
            let errors = ending.timedOut ? "" : ": \(Scratch.tail(of: "\(directory)/errors"))"
            figures.note = "\(ending.words)\(errors)"
        }
        return figures
    }
}

extension RunFigures {
    /// What a process came to; what was delivered is still to be verified.
    init(tool: String, round: Int, ending: Ending, sourceCPU: Double = 0, destinationCPU: Double = 0) {
        self.init(
            tool: tool, round: round, outcome: ending.isSuccess ? .verified : ending.timedOut ? .timedOut : .failed,
            wall: ending.wall, user: ending.user, system: ending.system, peakMemory: ending.peakMemory,
            sourceCPU: sourceCPU, destinationCPU: destinationCPU)
    }

    /// A run that did not come about.
    init(tool: String, round: Int, failure: String) {
        self.init(
            tool: tool, round: round, outcome: .failed, note: failure, wall: 0, user: 0, system: 0, peakMemory: 0,
            sourceCPU: 0, destinationCPU: 0)
    }

    /// Checks what a run delivered and notes what is wrong with it, and how long the check took.
    ///
    /// - Throws: what is no answer to whether it is right
    mutating func verify(_ check: () throws -> Void) throws {
        guard outcome == .verified else { return }
        let start = monotonicSeconds()
        do {
            try check()
        } catch let error as BenchError {
            outcome = .wrong
            note = error.message
        }
        verification = monotonicSeconds() - start
    }

    /// The run in one line.
    var line: String {
        let note = note.map { ": \($0)" } ?? ""
        guard isGood else { return "\(tool) \(outcome.rawValue)\(note)" }
        let readings = readings.sorted { $0.key < $1.key }.map { "; \($0.key) \(fixed($0.value, 3))" }.joined()
        return "\(tool) \(fixed(wall, 2)) s, \(fixed(cpu, 2)) CPU-s, \(bytesText(peakMemory))\(readings)\(note)"
    }
}
