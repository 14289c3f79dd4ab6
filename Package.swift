// swift-tools-version: 6.1
import PackageDescription

// System libraries come through small C targets; there are no package dependencies. `scripts/setup` installs them.
let package = Package(
    name: "greymesh",
    products: [
        .executable(name: "greymesh", targets: ["greymesh"]),
        .executable(name: "greymesh-sample", targets: ["sample"]),
    ],
    targets: [
        // C libraries
        .target(name: "CLinux"),
        .systemLibrary(name: "CCurl", pkgConfig: "libcurl", providers: [.apt(["libcurl4-openssl-dev"])]),
        .systemLibrary(name: "CNgHTTP2", pkgConfig: "libnghttp2", providers: [.apt(["libnghttp2-dev"])]),
        .systemLibrary(name: "CYAML", pkgConfig: "yaml-0.1", providers: [.apt(["libyaml-dev"])]),

        // From the bottom up: each target may import those above it.
        .target(name: "Runtime", dependencies: ["CLinux"]),
        .target(name: "Model", dependencies: ["Runtime"]),
        .target(name: "Configuration", dependencies: ["CYAML", "Model", "Runtime"]),
        .target(name: "Codecs", dependencies: ["CLinux"]),
        .target(name: "WebServer", dependencies: ["Codecs", "Runtime"]),
        .target(
            name: "Discovery",
            dependencies: ["CCurl", "CLinux", "CNgHTTP2", "Codecs", "Configuration", "Model", "Runtime"]),
        .target(name: "Routing"),
        .target(name: "Balancing", dependencies: ["Model", "Routing", "Runtime"]),
        .target(
            name: "Proxy",
            dependencies: ["Balancing", "CLinux", "Codecs", "Configuration", "Model", "Routing", "Runtime"]),
        .target(
            name: "ControlPlane",
            dependencies: [
                "Balancing", "CLinux", "Codecs", "Configuration", "Discovery", "Model", "Proxy", "Runtime",
            ]),
        .target(name: "DevelopmentRegistry", dependencies: ["Runtime", "WebServer"]),
        .target(
            name: "Admin",
            dependencies: [
                "Balancing", "Configuration", "ControlPlane", "Discovery", "Model", "Proxy", "Runtime", "WebServer",
            ]),
        .target(
            name: "Commands",
            dependencies: [
                "Admin", "CLinux", "Configuration", "ControlPlane", "DevelopmentRegistry", "Discovery", "Runtime",
            ]),
        .executableTarget(name: "greymesh", dependencies: ["Commands", "Runtime"]),
        .executableTarget(
            name: "sample", dependencies: ["CLinux", "Configuration", "Discovery", "Model", "Runtime", "WebServer"]),

        // Tests
        .executableTarget(
            name: "simulate",
            dependencies: ["Balancing", "Configuration", "Model", "Proxy", "Runtime"],
            path: "Tests/Simulation", exclude: ["Faults"]),
        .target(name: "TestSupport", dependencies: ["CLinux", "Runtime"], path: "Tests/TestSupport"),
        .testTarget(
            name: "AdminTests",
            dependencies: [
                "Admin", "Configuration", "ControlPlane", "Discovery", "Model", "Runtime", "TestSupport", "WebServer",
            ]),
        .testTarget(
            name: "BalancingTests",
            dependencies: ["Balancing", "Model", "Routing", "Runtime"]),
        .testTarget(name: "CodecsTests", dependencies: ["CLinux", "Codecs"], exclude: ["Resources"]),
        .testTarget(name: "CommandsTests", dependencies: ["Commands", "Configuration", "Runtime", "TestSupport"]),
        .testTarget(name: "ConfigurationTests", dependencies: ["Configuration", "Model", "Runtime", "TestSupport"]),
        .testTarget(
            name: "ControlPlaneTests",
            dependencies: [
                "Balancing", "Codecs", "Configuration", "ControlPlane", "Discovery", "Model", "Proxy", "Runtime",
                "TestSupport",
                "WebServer",
            ]),
        .testTarget(
            name: "DevelopmentRegistryTests", dependencies: ["DevelopmentRegistry", "Runtime", "WebServer"]),
        .testTarget(
            name: "DiscoveryTests",
            dependencies: ["CNgHTTP2", "Codecs", "Configuration", "Discovery", "Model", "Runtime", "TestSupport"],
            exclude: ["Resources"]),
        .testTarget(name: "ModelTests", dependencies: ["Model"]),
        .testTarget(name: "PeerTests", dependencies: ["Runtime", "TestSupport", "greymesh"]),
        .testTarget(
            name: "ProcessTests",
            dependencies: ["Discovery", "Model", "Runtime", "TestSupport", "WebServer", "greymesh", "sample"]),
        .testTarget(
            name: "ProxyTests",
            dependencies: [
                "Balancing", "CLinux", "Codecs", "Configuration", "Model", "Proxy", "Runtime", "TestSupport",
            ]),
        .testTarget(name: "RoutingTests", dependencies: ["Routing"]),
        .testTarget(name: "RuntimeTests", dependencies: ["CLinux", "Runtime", "TestSupport"]),
        .testTarget(name: "SampleTests", dependencies: ["DevelopmentRegistry", "Runtime", "WebServer", "sample"]),
        .testTarget(name: "SimulationTests", dependencies: ["CLinux", "Runtime", "simulate"]),
        .testTarget(name: "TestSupportTests", dependencies: ["TestSupport"]),
        .testTarget(name: "WebServerTests", dependencies: ["Runtime", "WebServer"]),
    ],
    swiftLanguageModes: [.v6]
)
