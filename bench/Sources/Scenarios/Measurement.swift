/// Measures a command on a stage: the process, the registries and the link.
struct Measurement {
    let stage: Stage
    /// Where the command's output goes.
    let directory: String

    /// Runs the command to its end.
    ///
    /// - Throws: `BenchError` where it cannot be started
    func run(_ command: Command, tool: String, round: Int, timeout: Double) throws -> RunFigures {
        let before = (stage.link?.snapshot, stage.source.cpu, stage.destination.cpu)
        var carried = [before.0?.down.payload ?? 0]
        let child = try Child(
            command, in: stage.link?.near, output: "\(directory)/output", errors: "\(directory)/errors")
        let ending = child.wait(timeout: timeout) {
            if let link = stage.link { carried.append(link.snapshot.down.payload) }
        }
        let after = stage.link?.snapshot
        carried.append(after?.down.payload ?? 0)
        var figures = RunFigures(
            tool: tool, round: round, outcome: .verified, wall: ending.wall, user: ending.user,
            system: ending.system, peakMemory: ending.peakMemory, sourceCPU: stage.source.cpu - before.1,
            destinationCPU: stage.destination.cpu - before.2, timeline: [])
        if let after, let start = before.0 {
            figures.down = after.down - start.down
            figures.up = after.up - start.up
            figures.timeline = zip(carried.dropFirst(), carried).map { $0 - $1 }
        }
        if !ending.isSuccess {
            figures.outcome = ending.timedOut ? .timedOut : .failed
            let errors = ending.timedOut ? "" : ": \(Scratch.tail(of: "\(directory)/errors"))"
            figures.note = "\(ending.words)\(errors)"
        }
        return figures
    }
}
