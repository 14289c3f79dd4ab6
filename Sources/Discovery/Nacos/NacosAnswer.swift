import FoundationEssentials

/// Reads answers of the Nacos API.
enum NacosAnswer {
    /// Why an answer cannot be used.
    struct Unreadable: Error, Equatable, CustomStringConvertible {
        let description: String
    }

    /// Reads the names of the service list, by the v1 API or over gRPC.
    static func serviceNames(_ body: [UInt8]) throws(Unreadable) -> [String] {
        struct Page: Decodable {
            let doms: [String]?
            let serviceNames: [String]?
        }
        guard let page = try? JSONDecoder().decode(Page.self, from: Data(body)),
            let names = page.doms ?? page.serviceNames
        else { throw Unreadable(description: "no service list in the answer: \(Excerpt.words(body))") }
        return names
    }

    /// Reads one page of the v3 admin service list: names of the group, and how many pages there are.
    static func adminServicePage(_ body: [UInt8], group: String) throws(Unreadable) -> (names: [String], pages: Int) {
        struct Page: Decodable {
            struct Item: Decodable {
                let name: String
                let groupName: String?
            }
            struct Items: Decodable {
                let pagesAvailable: Int?
                let pageItems: [Item]?
            }
            let code: Int
            let message: String?
            let data: Items?
        }
        guard let page = try? JSONDecoder().decode(Page.self, from: Data(body)) else {
            throw Unreadable(description: "no service list in the answer: \(Excerpt.words(body))")
        }
        guard page.code == 0 else { throw Unreadable(description: "code \(page.code) \(page.message ?? "")") }
        let items = page.data?.pageItems ?? []
        return (items.filter { $0.groupName ?? group == group }.map(\.name), page.data?.pagesAvailable ?? 1)
    }

    /// Reads the answer to a login; nil when it holds no token.
    static func token(_ body: [UInt8]) -> (token: String, lifetime: Duration)? {
        struct Login: Decodable {
            let accessToken: String
            let tokenTtl: Int64?
        }
        guard let login = try? JSONDecoder().decode(Login.self, from: Data(body)), !login.accessToken.isEmpty,
            login.accessToken.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f })
        else { return nil }
        return (login.accessToken, .seconds(min(max(login.tokenTtl ?? 18_000, 1), 10_000_000)))
    }
}
