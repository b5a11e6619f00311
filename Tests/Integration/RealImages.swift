import FoundationEssentials
import OCI
import TestSupport
import Testing

/// A central registry with the images of scripts/build-images: Debian with nginx, redis (in Docker's media types),
/// busybox, and an index of two platforms. One for all tests of a suite, which only read.
struct RealImages: Sendable {
    /// The suite's registry; set while its tests run.
    @TaskLocal static var current: RealImages?

    let registry: RealRegistry
    /// The digests by `REPOSITORY:TAG`, as the script told them.
    let digests: [String: String]

    /// The variable that scripts/test sets.
    static let variable = "ROLLCALL_TEST_IMAGES"

    fileprivate static func pushed(to registry: RealRegistry) async throws -> RealImages {
        guard let images = ProcessInfo.processInfo.environment[variable], !images.isEmpty else {
            throw TestSupportError(
                "\(variable) names no directory of images: run scripts/test, which builds them and sets it")
        }
        let script = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "scripts/push-images").path
        let result = try await runCommand([script, registry.authority, images])
        guard result.status == 0 else { throw TestSupportError("\(script): \(result.errorText)") }
        var digests: [String: String] = [:]
        for line in result.text.split(separator: "\n") {
            let words = line.split(separator: " ")
            if words.count == 2 { digests[String(words[0])] = String(words[1]) }
        }
        return RealImages(registry: registry, digests: digests)
    }
}

/// Gives a suite one central registry with real images.
struct RealImagesTrait: SuiteTrait, TestScoping {
    @concurrent func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @concurrent @Sendable () async throws -> Void
    ) async throws {
        try await withRealRegistry { registry in
            let images = try await RealImages.pushed(to: registry)
            try await RealImages.$current.withValue(images) { try await function() }
        }
    }
}

extension Trait where Self == RealImagesTrait {
    /// Runs the suite's tests with `RealImages.current`.
    static var realImages: RealImagesTrait { RealImagesTrait() }
}
