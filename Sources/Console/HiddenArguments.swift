import HTTP

extension String {
    /// The text without what stands before an `@` in any argument of the command line. The parser quotes an argument that it
    /// cannot use as it was given, and it may be a URL with a password.
    ///
    /// - Parameter arguments: the arguments that it may quote
    public func hidingUserInformation(in arguments: [String] = CommandLine.arguments) -> String {
        var text = self
        for argument in arguments {
            // Of `--option=VALUE` it quotes the value.
            let value =
                argument.hasPrefix("--")
                ? argument.split(separator: "=", maxSplits: 1).last.map(String.init) ?? argument : argument
            guard let at = value.lastIndex(of: "@") else { continue }
            let isDigest = ["@sha256:", "@sha512:"].contains { value[at...].hasPrefix($0) }
            if isDigest, !value[..<at].contains("@") { continue }
            text = text.replacing(value, with: value.shownAsURL)
        }
        return text
    }
}
