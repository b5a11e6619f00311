public import OCI

/// What is staged and promoted in one environment: one object, changed only by compare-and-swap.
public struct EnvironmentRecord: Hashable, Sendable {
    /// The most earlier promotions that are kept of each list.
    public static let maximumHistory = 32
    /// The most lists that an environment may have.
    public static let maximumLists = 10_000

    /// A generation of a list that was staged or promoted, with its figures, and by whom and when.
    public struct Pointer: Hashable, Sendable, Codable {
        /// The list's generation.
        public let generation: Digest
        /// The root of the list's closure: what every site has to prove.
        public let closureRoot: Digest
        /// How many images the list has.
        public let images: Int
        /// How many entries the closure has.
        public let entries: Int
        /// The sum of the distinct digests' sizes in bytes.
        public let bytes: Int64
        /// Who did it, as `USER@HOST`.
        public let by: String
        /// When.
        public let at: Timestamp

        /// - Parameters:
        ///   - list: the generation to point to
        ///   - by: who does it
        ///   - at: when
        public init(to list: ImageList, by: String, at: Timestamp) {
            generation = list.generation
            closureRoot = list.closure.root
            images = list.images.count
            entries = list.closure.entries.count
            bytes = list.closure.uniqueBytes
            self.by = by
            self.at = at
        }

        private init(_ other: Pointer, by: String, at: Timestamp) {
            generation = other.generation
            closureRoot = other.closureRoot
            images = other.images
            entries = other.entries
            bytes = other.bytes
            self.by = by
            self.at = at
        }

        func moved(by: String, at: Timestamp) -> Pointer { Pointer(self, by: by, at: at) }
    }

    /// Where one list stands.
    public struct ListState: Hashable, Sendable {
        /// The highest number of changes that is counted: what every JSON reader takes for a whole number.
        static let maximumChanges: Int64 = 1 << 53

        /// What the agents prefetch.
        public internal(set) var staged: Pointer?
        /// What the clusters may use.
        public internal(set) var promoted: Pointer?
        /// What was promoted before, the latest first; at most `maximumHistory`.
        public internal(set) var history: [Pointer] = []
        /// How often the list was staged, promoted and taken back here: what tells an old state from a new one. 0 where a
        /// version that did not count wrote it.
        public internal(set) var changes: Int64 = 0

        /// Whether what is staged is to be promoted still: then it has to climb the ladder.
        public var isClimbing: Bool { staged?.generation != promoted?.generation }

        /// Counts a change.
        ///
        /// - Parameter seen: the highest number that is known of the list
        mutating func count(after seen: Int64 = 0) { changes = min(max(changes, seen, 0) + 1, Self.maximumChanges) }

        /// Whether a generation is promoted, or was.
        public func hasPromoted(_ generation: Digest) -> Bool {
            promoted?.generation == generation || history.contains { $0.generation == generation }
        }
    }

    /// The environment.
    public let environment: EnvironmentName
    /// The lists by name.
    public internal(set) var lists: [ListName: ListState]
    /// How many earlier promotions of each list the sites keep ready to return to.
    public internal(set) var rollbackDepth = Fleet.Environment.defaultRollbackDepth
    /// What was done to the record and is not in the audit chain yet.
    var outbox = Outbox()

    /// The record of an environment that nothing was staged to.
    public init(environment: EnvironmentName) {
        self.environment = environment
        lists = [:]
    }

    /// The generations that sites hold: of each list what is staged, what is promoted, and what it can be taken back to.
    /// Nothing else needs to be kept.
    public var retainedGenerations: Set<Digest> {
        Set(
            lists.values.flatMap { state in
                [state.staged, state.promoted].compactMap { $0?.generation }
                    + state.history.prefix(max(0, rollbackDepth)).map(\.generation)
            })
    }

    // MARK: Changes, pure

    /// Makes a generation what is staged under a list's name.
    ///
    /// - Parameter seen: the highest number of changes that is known of the list
    mutating func stage(_ pointer: Pointer, as name: ListName, after seen: Int64 = 0) {
        lists[name, default: ListState()].staged = pointer
        lists[name]?.count(after: seen)
    }

    /// Makes a generation what is promoted under a list's name, and keeps what was before.
    mutating func promote(_ pointer: Pointer, as name: ListName) {
        var state = lists[name, default: ListState()]
        if let before = state.promoted { state.history.insert(before, at: 0) }
        state.history = Array(state.history.prefix(Self.maximumHistory))
        state.promoted = pointer
        state.count()
        lists[name] = state
    }

    /// Makes what was promoted before what is promoted again. What it takes the place of does not count as promoted any
    /// more, so it does not climb the ladder.
    ///
    /// - Parameter pointer: the first of the list's history, with who takes it back and when
    mutating func rollBack(to pointer: Pointer, as name: ListName) {
        guard lists[name]?.history.isEmpty == false else { return }
        let left = lists[name]?.promoted?.generation
        lists[name]?.history.removeFirst()
        // Also where it had been promoted before that already.
        lists[name]?.history.removeAll { $0.generation == left }
        lists[name]?.promoted = pointer
        lists[name]?.count()
    }
}

extension EnvironmentRecord.ListState: Codable {
    private enum CodingKeys: CodingKey { case staged, promoted, history, changes }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        staged = try container.decodeIfPresent(EnvironmentRecord.Pointer.self, forKey: .staged)
        promoted = try container.decodeIfPresent(EnvironmentRecord.Pointer.self, forKey: .promoted)
        history = try container.decode([EnvironmentRecord.Pointer].self, forKey: .history)
        changes = try container.decodeIfPresent(Int64.self, forKey: .changes) ?? 0
        guard (0...Self.maximumChanges).contains(changes) else {
            throw DecodingError.dataCorruptedError(
                forKey: .changes, in: container, debugDescription: "the number of changes is \(changes)")
        }
    }
}

extension EnvironmentRecord.ListState {
    /// What a rollback returns to; `nil` where nothing was promoted before.
    public var previous: EnvironmentRecord.Pointer? { history.first }

    /// What is staged, or what is promoted.
    func pointer(of subject: Verdict.Subject) -> EnvironmentRecord.Pointer? {
        switch subject {
        case .staged: staged
        case .promoted: promoted
        }
    }

    /// As what a generation is here: staged where it is both, `nil` where it is neither.
    func subject(of generation: Digest) -> Verdict.Subject? {
        if staged?.generation == generation { return .staged }
        return promoted?.generation == generation ? .promoted : nil
    }
}

extension EnvironmentRecord: Codable {
    private enum CodingKeys: CodingKey { case schema, environment, lists, rollbackDepth, outbox }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        try Schema.environmentRecord.require(try container.decode(String.self, forKey: .schema))
        environment = try container.decode(EnvironmentName.self, forKey: .environment)
        lists = try container.decode([ListName: ListState].self, forKey: .lists)
        rollbackDepth =
            try container.decodeIfPresent(Int.self, forKey: .rollbackDepth) ?? Fleet.Environment.defaultRollbackDepth
        outbox = try container.decodeIfPresent(Outbox.self, forKey: .outbox) ?? Outbox()
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(Schema.environmentRecord.id, forKey: .schema)
        try container.encode(environment, forKey: .environment)
        try container.encode(lists, forKey: .lists)
        try container.encode(rollbackDepth, forKey: .rollbackDepth)
        if !outbox.isEmpty { try container.encode(outbox, forKey: .outbox) }
    }

    /// Reads a stored record.
    ///
    /// - Parameters:
    ///   - bytes: the object
    ///   - environment: whose record it must be
    ///   - origin: the object's key, for messages
    /// - Throws: `ReadinessError.invalidRecord`, or `.unknownSchema` for a newer version.
    init(parsing bytes: [UInt8], of environment: EnvironmentName, in origin: String) throws(ReadinessError) {
        self = try Document.decode(EnvironmentRecord.self, from: bytes, .invalidRecord, in: origin)
        guard self.environment == environment else {
            throw ReadinessError(
                .invalidRecord, "it is the record of '\(self.environment)': restore the one of '\(environment)'",
                in: origin)
        }
    }
}
