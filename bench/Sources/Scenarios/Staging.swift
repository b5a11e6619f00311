/// A list that is staged for an environment's sites: pinning and staging happen once for a fleet, and are not timed.
struct Staging {
    /// The directory of the store, the fleet file and the list.
    let directory: String
    /// The site's names.
    let sites: [String]
    private let source: String

    /// Publishes images as the list of an environment.
    ///
    /// - Parameters:
    ///   - images: what the list pins
    ///   - source: the central registry
    ///   - sites: the environment's sites and their registries' URLs
    ///   - coordinator: the executable `rollcall`
    ///   - directory: where the store and the files go
    /// - Throws: `BenchError` where a command fails
    init(
        _ images: [Corpus.Image], from source: Endpoint, sites: [(name: String, registry: String)],
        coordinator: String, in directory: String
    ) throws {
        self.directory = directory
        self.sites = sites.map(\.name)
        self.source = source.authority
        let store = "objectStore: {url: 'file://\(directory)/store'}\n"
        try Scratch.makeDirectory("\(directory)/store")
        try Scratch.write(
            "name: bench\nsource: http://\(source.authority)\nimages:\n"
                + images.map { "  - {repository: \($0.repository), tag: '\($0.tag)'}\n" }.joined(),
            to: "\(directory)/images.yaml")
        try Scratch.write(
            store + "environments:\n  - name: lab\n    unsignedManifests: accept\n    sites:\n"
                + sites.map { "      - {name: \($0.name), registry: '\($0.registry)'}\n" }.joined(),
            to: "\(directory)/fleet.yaml")
        // On the far side, where the central registry is near.
        let list = "\(directory)/list.json"
        try Command([coordinator, "list", "resolve", "\(directory)/images.yaml", "--output", list])
            .run(in: source.namespace)
        try Command([coordinator, "stage", list, "--environment", "lab", "--fleet", "\(directory)/fleet.yaml"]).run()
    }

    /// An agent's file.
    ///
    /// - Parameters:
    ///   - site: its site
    ///   - registry: the registry it serves, as the file has it
    ///   - state: its own directory
    ///   - mirrors: further sources, `HOST:PORT`, that are the central registry's equals
    ///   - settings: further lines
    func agentFile(
        site: String, registry: String, state: String, mirrors: [String] = [], settings: String = ""
    ) -> String {
        """
        objectStore: {url: 'file://\(directory)/store'}
        site: \(site)
        environment: lab
        sources: [\(([source] + mirrors).map { "{url: 'http://\($0)', priority: 1}" }.joined(separator: ", "))]
        registry: \(registry)
        state: \(state)
        \(settings)

        """
    }
}
