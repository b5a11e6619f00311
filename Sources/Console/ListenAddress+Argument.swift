public import ArgumentParser
public import HTTP

extension ListenAddress: ExpressibleByArgument {
    public init?(argument: String) { self.init(argument) }

    public var defaultValueDescription: String { "\(self)" }
}
