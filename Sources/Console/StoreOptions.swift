public import ArgumentParser

/// How a command uses the central object store.
public struct StoreOptions: ParsableArguments, Sendable {
    @Flag(
        help: ArgumentHelp(
            "Take an S3 store whose conditional writes do not exclude each other.",
            discussion: "Only where no other process, at no site, ever writes to it."))
    public var singleWriter = false

    /// Several writers.
    public init() {}
}
