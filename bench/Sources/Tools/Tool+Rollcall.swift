import Glibc

extension Tool {
    /// Rollcall: `rollcall-agent copy` for an image, `rollcall-agent sync` for a release, with its defaults.
    static func rollcall(_ binaries: String) -> Tool {
        let agent = "\(binaries)/rollcall-agent"
        return Tool(name: "rollcall", executable: agent, kind: .ours) { job in
            var command: Command
            switch job.work {
            case .copy:
                guard let image = job.corpus.images.first else { return nil }
                command = Command([
                    agent, "copy", job.reference(image, at: job.source), job.reference(image, at: job.destination),
                    "--plain-http", job.source.authority, "--plain-http", job.destination.authority,
                ])
            case .release:
                try stage(
                    job, registry: "{url: 'http://\(job.destination.authority)'}", coordinator: "\(binaries)/rollcall")
                command = Command([agent, "sync", "--config", "\(job.directory)/agent.yaml"])
            }
            command.environment = ["HOME": job.directory]
            return command
        }
    }

    /// Rollcall with a registry of the agent's own: `rollcall-agent sync` into its directory. Between registries on
    /// loopback, where it is the copy of one image.
    static func ownRegistry(_ binaries: String) -> Tool {
        let agent = "\(binaries)/rollcall-agent"
        return Tool(name: "rollcall, own registry", executable: agent, kind: .ours) { job in
            guard job.work == .copy, job.source.namespace == nil else { return nil }
            try stage(
                job, registry: "{embedded: {layout: '\(job.directory)/layout', listen: '127.0.0.1:0'}}",
                coordinator: "\(binaries)/rollcall")
            return Command(
                [agent, "sync", "--config", "\(job.directory)/agent.yaml"], environment: ["HOME": job.directory])
        } delivered: { job in
            try RegistryServer(.rollcall(agent), storage: "\(job.directory)/layout", isReadOnly: true)
        }
    }

    /// Publishes the corpus as a staged list, and writes the agent's file.
    private static func stage(_ job: Job, registry: String, coordinator: String) throws {
        let staging = try Staging(
            job.corpus.images, from: job.source, sites: [("lab-1", "http://\(job.destination.authority)")],
            coordinator: coordinator, in: job.directory)
        let limits = job.rate.map { "limits: {rate: \($0 * 8 / 1000)kbit/s}" } ?? ""
        try Scratch.write(
            staging.agentFile(
                site: "lab-1", registry: registry, state: "\(job.directory)/state", settings: limits),
            to: "\(job.directory)/agent.yaml")
    }
}
