import HTTP
import Testing

@testable import Registry

struct TargetPolicyTests {
    @Test(arguments: [
        // registry, target, allowed
        ("https://registry.example", "https://auth.example/token", true),
        ("https://registry.example", "https://registry.example:8443/token", true),
        ("https://registry.example", "http://auth.example/token", false),
        ("https://registry.example", "http://registry.example/token", false),
        ("http://registry.example", "http://auth.example/token", true),
        ("http://registry.example", "https://auth.example/token", true),
        ("https://registry.example", "https://93.184.216.34/token", true),
        ("https://registry.example", "https://169.254.169.254/latest/meta-data", false),
        ("https://10.0.0.1", "https://169.254.169.254/latest/meta-data", false),
        ("https://169.254.1.1", "https://169.254.1.1:444/x", true),
        ("https://registry.example", "https://10.1.2.3/token", false),
        ("https://registry.example", "https://172.16.0.1/", false),
        ("https://registry.example", "https://172.32.0.1/", true),
        ("https://registry.example", "https://192.168.0.1/", false),
        ("https://registry.example", "https://100.64.0.1/", false),
        ("https://10.0.0.1", "https://10.1.2.3/token", true),
        ("https://registry.example", "https://127.0.0.1/token", false),
        ("https://registry.example", "https://localhost/token", false),
        ("https://registry.example", "https://localhost./token", false),
        ("https://registry.example", "https://0.0.0.0/token", false),
        ("https://10.0.0.1", "https://127.0.0.1/token", false),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5001/token", true),
        ("http://localhost:5000", "http://127.0.0.1:5001/token", true),
        // Forms that getaddrinfo takes for the same addresses.
        ("https://registry.example", "https://2130706433/", false),
        ("https://registry.example", "https://0x7f.1/", false),
        ("https://registry.example", "https://0251.0376.0251.0376/", false),
        ("https://registry.example", "https://[::1]/", false),
        ("https://registry.example", "https://[::ffff:169.254.169.254]/", false),
        ("https://registry.example", "https://[fe80::1]/", false),
        ("https://registry.example", "https://[fd00::1]/", false),
        ("https://registry.example", "https://[2606:2800:220:1::1]/", true),
    ])
    func judges(registry: String, target: String, isAllowed: Bool) throws {
        let reason = TargetPolicy.refusal(of: try HTTPURL(target), from: try HTTPURL(registry))
        #expect((reason == nil) == isAllowed, "\(reason ?? "allowed")")
    }
}
