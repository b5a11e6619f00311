// swift-tools-version:6.2

import PackageDescription

// One module per boundary; arrows point down only. docs/architecture.md draws them.
let package = Package(
    name: "rollcall",
    products: [
        .executable(name: "rollcall-agent", targets: ["Agent"]),
        .executable(name: "rollcall", targets: ["Coordinator"]),
        .executable(name: "rollcall-bench", targets: ["Bench"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-extras", from: "1.35.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        // Without its reader of configurations and what needs all of Foundation.
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1", traits: []),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    ],
    targets: [
        // System libraries: a module map and typed inline wrappers over the C calls.
        .systemLibrary(name: "CLibcurl", pkgConfig: "libcurl", providers: [.apt(["libcurl4-openssl-dev"])]),
        .systemLibrary(name: "CLibcrypt", providers: [.apt(["libcrypt-dev"])]),
        .systemLibrary(name: "CLibcrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CGlibc"),

        // Pure values.
        .target(name: "OCI", dependencies: ["CLibcrypto"]),

        // Who said it.
        .target(name: "Trust", dependencies: ["CLibcrypto", "OCI"]),

        // The way of the bytes.
        .target(name: "HTTP", dependencies: ["CLibcurl", "CGlibc"]),
        .target(name: "Registry", dependencies: ["HTTP", "OCI"]),
        .target(
            name: "Transfer",
            dependencies: [
                "CGlibc", "ImageLayout", "Registry", "HTTP", "OCI", .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "HeapModule", package: "swift-collections"),
            ]
        ),

        // What our servers have in common.
        .target(
            name: "Serving",
            dependencies: [
                .product(name: "Logging", package: "swift-log"), .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
            ]
        ),

        // The site's own registry: content on disk, and the protocol over it.
        .target(name: "ImageLayout", dependencies: ["CGlibc", "OCI"]),
        .target(
            name: "EmbeddedRegistry",
            dependencies: [
                "CLibcrypt", "CLibcrypto", "ImageLayout", "OCI", "Serving",
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "HummingbirdTLS", package: "hummingbird"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ]
        ),

        // The way of the decision.
        .target(name: "ObjectStore", dependencies: ["CGlibc", "CLibcrypto", "HTTP", "OCI"]),
        .target(name: "Readiness", dependencies: ["ObjectStore", "OCI", "Trust"]),

        // The files that users write.
        .target(
            name: "ConfigurationFiles",
            dependencies: [
                "HTTP", "ObjectStore", "OCI", "Readiness", "Transfer", "Trust",
                .product(name: "Yams", package: "Yams"),
            ]
        ),

        // What both executables share in talking to people.
        .target(
            name: "Console",
            dependencies: [
                "CGlibc", "HTTP", "Trust", .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ]
        ),

        // What is measured, as Prometheus reads it.
        .target(name: "Telemetry", dependencies: [.product(name: "CoreMetrics", package: "swift-metrics")]),

        // What probes, Prometheus and people ask the agent over HTTP.
        .target(
            name: "AgentServer",
            dependencies: [
                "Serving", "Telemetry",
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "HummingbirdTLS", package: "hummingbird"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ]
        ),

        // What people see of the fleet: a page and a screen, as functions of values.
        .target(name: "Board", dependencies: ["Console", "OCI", "Readiness", "Trust"]),

        // What pipelines ask over HTTP, and where the board is served. A module of its own, so that the server's
        // dependencies stay out of the rest.
        .target(
            name: "GateServer",
            dependencies: [
                "Board", "CLibcrypto", "OCI", "Readiness", "Serving", "Telemetry",
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "HummingbirdTLS", package: "hummingbird"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ]
        ),

        // The executables: parse, wire, run.
        .executableTarget(
            name: "Agent",
            dependencies: [
                "AgentServer", "CGlibc", "ConfigurationFiles", "Console", "EmbeddedRegistry", "ImageLayout",
                "ObjectStore",
                "OCI", "Readiness", "Registry", "Serving", "Telemetry", "Transfer", "Trust", "HTTP",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "CoreMetrics", package: "swift-metrics"),
                .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ]
        ),
        .executableTarget(
            name: "Coordinator",
            dependencies: [
                "Board", "ConfigurationFiles", "Console", "GateServer", "Serving", "ObjectStore", "OCI", "Readiness",
                "Registry",
                "Transfer",
                "Trust", "HTTP",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ]
        ),

        // The benchmark harness; no part of what is shipped.
        .target(name: "CLinux", path: "bench/CLinux"),
        .executableTarget(
            name: "Bench",
            dependencies: [
                "CLinux", "OCI", "Readiness", "Transfer", "Trust",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            path: "bench/Sources"
        ),

        .target(name: "TestSupport", dependencies: ["OCI"], path: "Tests/TestSupport"),
        .target(
            name: "TestRegistry",
            dependencies: [
                "EmbeddedRegistry", "ImageLayout", "OCI", "TestSupport",
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
            ],
            path: "Tests/TestRegistry"
        ),
        .testTarget(name: "OCITests", dependencies: ["OCI"]),
        .testTarget(name: "TrustTests", dependencies: ["Trust", "OCI", "TestSupport"]),
        .testTarget(name: "HTTPTests", dependencies: ["HTTP", "OCI", "TestSupport"]),
        .testTarget(name: "RegistryTests", dependencies: ["Registry", "HTTP", "OCI", "TestSupport"]),
        .testTarget(
            name: "TransferTests",
            dependencies: [
                "Transfer", "ImageLayout", "Registry", "HTTP", "OCI", "TestSupport",
                .product(name: "GRDB", package: "GRDB.swift"),
            ]
        ),
        .testTarget(name: "ImageLayoutTests", dependencies: ["ImageLayout", "OCI", "TestSupport"]),
        .testTarget(
            name: "EmbeddedRegistryTests",
            dependencies: [
                "EmbeddedRegistry", "HTTP", "ImageLayout", "OCI", "Registry", "Serving", "TestRegistry", "TestSupport",
                .product(name: "Logging", package: "swift-log"),
            ]
        ),
        // The blob pipeline between two embedded registries. Apart from TransferTests, which need no server of NIO's.
        .testTarget(
            name: "PipelineTests",
            dependencies: [
                "EmbeddedRegistry", "HTTP", "ImageLayout", "OCI", "Registry", "TestRegistry", "TestSupport", "Transfer",
            ]
        ),
        .testTarget(name: "ObjectStoreTests", dependencies: ["ObjectStore", "HTTP", "OCI", "TestSupport"]),
        .testTarget(name: "ReadinessTests", dependencies: ["Readiness", "ObjectStore", "OCI", "Trust", "TestSupport"]),
        .testTarget(
            name: "ConfigurationFilesTests",
            dependencies: [
                "ConfigurationFiles", "HTTP", "OCI", "ObjectStore", "Readiness", "Transfer", "Trust",
                "TestSupport", .product(name: "Yams", package: "Yams"),
            ]),
        .testTarget(
            name: "AgentTests",
            dependencies: [
                "Agent", "AgentServer", "ConfigurationFiles", "Console", "HTTP", "ObjectStore", "OCI", "Readiness",
                "Registry", "Serving", "Telemetry", "Transfer", "Trust", "TestSupport",
                .product(name: "CoreMetrics", package: "swift-metrics"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "ServiceLifecycleTestKit", package: "swift-service-lifecycle"),
            ]
        ),
        .testTarget(
            name: "BoardTests",
            dependencies: ["Board", "Console", "ObjectStore", "OCI", "Readiness", "Trust", "TestSupport"]),
        .testTarget(
            name: "GateServerTests",
            dependencies: [
                "Board", "GateServer", "HTTP", "ObjectStore", "OCI", "Readiness", "Serving", "TestSupport",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ]
        ),
        .testTarget(
            name: "TelemetryTests",
            dependencies: ["Telemetry", .product(name: "CoreMetrics", package: "swift-metrics")]),
        .testTarget(
            name: "BenchTests",
            dependencies: [
                "Bench", "OCI", "TestSupport", .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]),
        .testTarget(
            name: "CoordinatorTests",
            dependencies: [
                "Board", "Console", "Coordinator", "ConfigurationFiles", "ObjectStore", "HTTP", "OCI", "Readiness",
                "Trust",
                "TestSupport",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Yams", package: "Yams"),
            ]
        ),
        .testTarget(
            name: "Integration",
            dependencies: [
                "Agent", "Coordinator", "ConfigurationFiles", "ObjectStore", "OCI", "Readiness", "Registry", "Transfer",
                "Trust", "HTTP", "TestSupport",
            ],
            path: "Tests/Integration"
        ),
    ],
    swiftLanguageModes: [.v6]
)

for target in package.targets where target.type != .system {
    target.swiftSettings = [
        .treatAllWarnings(as: .error),
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("MemberImportVisibility"),
        .enableUpcomingFeature("InternalImportsByDefault"),
        .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    ]
}
