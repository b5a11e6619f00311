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
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    ],
    targets: [
        // System libraries: a module map and typed inline wrappers over the C calls.
        .systemLibrary(name: "CLibcurl", pkgConfig: "libcurl", providers: [.apt(["libcurl4-openssl-dev"])]),
        .systemLibrary(name: "CLibcrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CSystem"),

        // Pure values.
        .target(name: "OCI", dependencies: ["CLibcrypto"]),

        // The way of the bytes.
        .target(name: "HTTP", dependencies: ["CLibcurl", "CSystem"]),
        .target(name: "Registry", dependencies: ["HTTP", "OCI"]),
        .target(
            name: "Transfer",
            dependencies: [
                "Registry", "HTTP", "OCI", .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "HeapModule", package: "swift-collections"),
            ]
        ),

        // The way of the decision.
        .target(name: "ObjectStore", dependencies: ["CLibcrypto", "HTTP", "OCI"]),
        .target(name: "Readiness", dependencies: ["ObjectStore", "OCI"]),

        // The files that users write.
        .target(
            name: "Configuration",
            dependencies: [
                "HTTP", "ObjectStore", "OCI", "Readiness", "Transfer", .product(name: "Yams", package: "Yams"),
            ]
        ),

        // What both executables share in talking to people.
        .target(
            name: "Console",
            dependencies: ["CSystem", "HTTP", .product(name: "ArgumentParser", package: "swift-argument-parser")]
        ),

        // The executables: parse, wire, run.
        .executableTarget(
            name: "Agent",
            dependencies: [
                "Configuration", "Console", "ObjectStore", "OCI", "Readiness", "Registry", "Transfer", "HTTP",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ]
        ),
        .executableTarget(
            name: "Coordinator",
            dependencies: [
                "Configuration", "Console", "ObjectStore", "OCI", "Readiness", "Registry", "Transfer", "HTTP",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]
        ),

        // The benchmark harness; no part of what is shipped.
        .target(name: "CLinux", path: "bench/CLinux"),
        .executableTarget(
            name: "Bench",
            dependencies: ["CLinux", "OCI", .product(name: "ArgumentParser", package: "swift-argument-parser")],
            path: "bench/Sources"
        ),

        .target(name: "TestSupport", dependencies: ["OCI"], path: "Tests/TestSupport"),
        .testTarget(name: "OCITests", dependencies: ["OCI"]),
        .testTarget(name: "HTTPTests", dependencies: ["HTTP", "OCI", "TestSupport"]),
        .testTarget(name: "RegistryTests", dependencies: ["Registry", "HTTP", "OCI", "TestSupport"]),
        .testTarget(
            name: "TransferTests",
            dependencies: [
                "Transfer", "Registry", "HTTP", "OCI", "TestSupport", .product(name: "GRDB", package: "GRDB.swift"),
            ]
        ),
        .testTarget(name: "ObjectStoreTests", dependencies: ["ObjectStore", "HTTP", "OCI", "TestSupport"]),
        .testTarget(name: "ReadinessTests", dependencies: ["Readiness", "ObjectStore", "OCI"]),
        .testTarget(
            name: "ConfigurationTests",
            dependencies: [
                "Configuration", "HTTP", "OCI", "ObjectStore", "Readiness", "Transfer", "TestSupport",
            ]),
        .testTarget(
            name: "AgentTests",
            dependencies: [
                "Agent", "Configuration", "ObjectStore", "OCI", "Readiness", "Registry", "Transfer", "TestSupport",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "ServiceLifecycleTestKit", package: "swift-service-lifecycle"),
            ]
        ),
        .testTarget(name: "BenchTests", dependencies: ["Bench", "OCI", "TestSupport"]),
        .testTarget(
            name: "CoordinatorTests",
            dependencies: [
                "Coordinator", "Configuration", "ObjectStore", "OCI", "Readiness", "TestSupport",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]
        ),
        .testTarget(
            name: "Integration",
            dependencies: [
                "Agent", "Coordinator", "Configuration", "ObjectStore", "OCI", "Readiness", "Registry", "Transfer",
                "HTTP", "TestSupport",
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
