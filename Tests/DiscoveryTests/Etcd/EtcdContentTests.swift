import Configuration
import Testing

@testable import Discovery

/// What keys say, and which state reads and changes lead to.
@Suite struct EtcdContentTests {
    private func read(_ content: EtcdPlace.Content, _ name: String, _ value: String = "") -> String? {
        let record = EtcdRecord(key: Array(name.utf8), value: Array(value.utf8), revision: 1)
        switch EtcdContent(content, name: name, record) {
        case .host(let host):
            let labels = host.instance.metadata.map { "\($0.name)=\($0.value)" }
            return "\(host.host) \(host.port) \(host.instance.weight) \(labels.joined(separator: ","))"
        case .unused(let reason): return reason.rawValue
        case .application(let application):
            return "\(application.name) \(application.host) \(application.endpoints.map(\.port)) "
                + (application.revision ?? "-")
        case .mapping(let names): return names.joined(separator: "|")
        case .override(let override): return "\(override.host ?? "*") \(override.parameters)"
        case .withdrawal: return "withdrawal"
        case .metadata(let metadata): return metadata.interfaces.sorted().joined(separator: "|")
        case nil: return nil
        }
    }

    @Test func kratos() {
        let kratos = { (value: String) in read(.kratos, "id", value) }
        #expect(
            kratos(
                #"{"id":"a","name":"n","version":"v1","metadata":{"weight":"50","n":null,"i":7},"endpoints":["http://10.0.0.1:80"]}"#
            )
                == "10.0.0.1 80 0.5 i=7,version=v1,weight=50")
        #expect(kratos(#"{"endpoints":["grpc://a:1","http://[::1]:80?isSecure=false"]}"#) == "::1 80 1.0 ")
        #expect(kratos(#"{"version":"","metadata":null,"endpoints":["http://h.x:80"]}"#) == "h.x 80 1.0 ")
        #expect(kratos(#"{"metadata":{"weight":"-5"},"endpoints":["http://h:80"]}"#) == "h 80 0.0 weight=-5")
        #expect(kratos(#"{"metadata":{"weight":"nan"},"endpoints":["http://h:80"]}"#) == "h 80 1.0 weight=nan")
        for other in ["grpc://a:1", "http://a:1?isSecure=true", "https://a:1"] {
            #expect(kratos("{\"endpoints\":[\"\(other)\"]}") == "unsupported_protocol", "\(other)")
        }
        for bad in [
            "", "5", "[]", "{}", #"{"endpoints":"http://a:1"}"#, #"{"endpoints":[]}"#, #"{"endpoints":["x"]}"#,
            #"{"endpoints":["http://a"]}"#, #"{"endpoints":["http://:80"]}"#, #"{"endpoints":["http://a:70000"]}"#,
        ] {
            #expect(kratos(bad) == "unreadable", "\(bad)")
        }
    }

    @Test func otherLayouts() {
        #expect(read(.goZero, "123", "10.0.0.1:8081") == "10.0.0.1 8081 1.0 ")
        for bad in ["", "10.0.0.1", "10.0.0.1:x", "http://10.0.0.1:80", "a b:1", "\u{0}"] {
            #expect(read(.goZero, "123", bad) == "unreadable", "\(bad)")
        }
        let micro = { (more: String) in
            read(.goMicro, "id", #"{"name":"n","version":"2","nodes":[{"id":"i","address":"10.0.0.1:80"\#(more)}]}"#)
        }
        #expect(
            micro(#","metadata":{"protocol":"http","zone":"a"}"#) == "10.0.0.1 80 1.0 protocol=http,version=2,zone=a")
        #expect(micro("") == "10.0.0.1 80 1.0 version=2")
        #expect(micro(#","metadata":{"protocol":"grpc"}"#) == "unsupported_protocol")
        #expect(read(.goMicro, "id", #"{"nodes":[]}"#) == "unreadable")
    }

    @Test func dubbo() {
        let url = { (text: String) in read(.providers, PercentEncoding.encode(text)) }
        #expect(
            url("dubbo://10.0.0.1:20880/a.B?application=shop&weight=50")
                == "10.0.0.1 20880 0.5 application=shop,weight=50")
        #expect(url("tri://10.0.0.1:20880/a.B") == "unsupported_protocol")
        let rule = { (text: String) in read(.configurators("a.B"), PercentEncoding.encode(text)) }
        #expect(rule("override://10.0.0.1/a.B?weight=10") == "10.0.0.1 [\"weight\": \"10\"]")
        #expect(rule("override://0.0.0.0/a.B") == "withdrawal")
        #expect(rule("override://0.0.0.0/other?weight=1") == nil && rule("x") == nil)
        #expect(url("dubbo://10.0.0.1/a.B") == "unreadable")
        for directory in ["", "providers", "%zz"] { #expect(read(.providers, directory) == nil) }
        #expect(read(.mapping, "", "a, b,,c\n") == "a|b|c")
        let go = { (more: String) in
            read(
                .application("shop"), "10.0.0.1:20000",
                #"{"ID":"1","ServiceName":"shop","Host":"10.0.0.1","Port":20000,\#(more)"Metadata":{"dubbo.metadata.revision":"7","#
                    + #""dubbo.endpoints":"[{\"port\":20000,\"protocol\":\"dubbo\"}]"}}"#)
        }
        #expect(go(#""Enable":true,"Healthy":true,"#) == "shop 10.0.0.1 [20000] 7")
        #expect(go(#""Enable":false,"#) == "disabled" && go(#""Healthy":false,"#) == "unhealthy")
        #expect(read(.application("a"), "x", #"{"Host":"h","Port":1}"#) == "unsupported_protocol")
        #expect(read(.application("a"), "x", #"{"Host":"h","Port":70000}"#) == "unreadable")
        #expect(read(.metadata, "", #"{"app":"a","services":{"g/x.Y:1:dubbo":{}}}"#) == "x.Y")
        #expect(read(.metadata, "", "x") == nil)
    }

    @Test func base64AndSpans() {
        for text in ["", "a", "ab", "abc", "abcd", "\u{0}ÿ"] {
            #expect(Base64.decode(Array(Base64.encode(Array(text.utf8)).utf8)[...]) == Array(text.utf8))
        }
        #expect(Base64.encode(Array("/w/a".utf8)) == "L3cvYQ==")
        for bad in ["L", "L3", "L3cvYQ=", "L3c*", "====", "L3=c"] {
            #expect(Base64.decode(Array(bad.utf8)[...]) == nil, "\(bad)")
        }
        #expect(EtcdSpan(prefix: "/w/").end == Array("/w0".utf8))
        #expect(EtcdSpan.end(of: [1, 0xff, 0xff]) == [2] && EtcdSpan.end(of: [0xff]) == [0])
        #expect(EtcdPlace.places(of: .http(""), EtcdLayout(.goZero)).isEmpty)
        #expect(EtcdPlace.places(of: .http("a"), EtcdLayout(.dubbo)).isEmpty)
    }

    @Test func settings() throws {
        let url = try RegistryURL("etcd://u:p%40@a,b:1?layout=kratos:/team/ms/,go-zero,dubbo")
        let settings = try EtcdSettings(url)
        #expect(settings.servers == ["http://a:2379", "http://b:1"])
        #expect(settings.credentials == .init(user: "u", password: "p@"))
        #expect(
            settings.layouts == [EtcdLayout(.kratos, prefix: "/team/ms"), EtcdLayout(.goZero), EtcdLayout(.dubbo)])
        #expect(settings.registrationLayout.prefix == "/team/ms")
        #expect(try EtcdSettings(RegistryURL("etcd://a")).layouts == EtcdLayout.usual)
        for bad in [
            "layout=nacos", "layout=kratos,kratos:/a", "layout=dubbo:/a,kratos:/a", "layout=dubbo:/", "layout=,",
        ] {
            #expect(throws: InvalidValue.self, "\(bad)") { try EtcdSettings(RegistryURL("etcd://a?\(bad)")) }
        }
        #expect(throws: InvalidValue.self) { try EtcdSettings(RegistryURL("etcd://a/path")) }
    }

    /// Reads and changes meet in any order.
    @Test func folderKeepsReadsAndChangesApart() {
        let place = EtcdPlace.places(of: .http("a"), EtcdLayout(.goZero))[0]
        let record = { (name: String, port: Int, revision: Int64) in
            EtcdRecord(key: Array("a/\(name)".utf8), value: Array("h:\(port)".utf8), revision: revision)
        }
        let names = { (folder: EtcdFolder) in folder.entries.keys.map { String(decoding: $0, as: UTF8.self) }.sorted() }
        var folder = EtcdFolder(place)
        _ = folder.apply(EtcdEvent(record: record("x", 1, 4)))
        #expect(folder.entries.isEmpty)
        folder.beginReading()
        // While it is read: one that the read has as well, one that is newer, one that takes away.
        _ = folder.apply(EtcdEvent(record: record("p", 1, 5)))
        _ = folder.apply(EtcdEvent(record: record("q", 2, 12)))
        _ = folder.apply(EtcdEvent(record: record("r", 0, 13), isDelete: true))
        _ = folder.apply(EtcdEvent(record: record("s", 0, 6), isDelete: true))
        folder.take([record("p", 1, 5), record("r", 3, 7), record("s", 4, 8), record("deep/er", 5, 8)])
        let first = folder.finishPage(last: record("s", 4, 8).key, more: true, revision: 10)
        #expect(first == .next(Array("a/s\u{0}".utf8)))
        folder.take([record("t", 5, 9)])
        let second = folder.finishPage(last: nil, more: false, revision: 15)
        #expect(second == .complete)
        #expect(!folder.isRead)
        folder.commit(isStale: false)
        #expect(folder.isRead && folder.revision == 10)
        #expect(names(folder) == ["p", "q", "s", "t"])
        // Behind the read: nothing. Ahead: it counts, once. The same again is no change, nor is another place's key.
        let results = [
            folder.apply(EtcdEvent(record: record("s", 0, 9), isDelete: true)),
            folder.apply(EtcdEvent(record: record("s", 0, 16), isDelete: true)),
            folder.apply(EtcdEvent(record: record("s", 0, 16), isDelete: true)),
            folder.apply(EtcdEvent(record: record("p", 1, 17))),
            folder.apply(EtcdEvent(record: record("p", 2, 18))),
            folder.apply(EtcdEvent(record: EtcdRecord(key: Array("ab/x".utf8), revision: 19))),
        ]
        #expect(results == [false, true, false, false, true, false])
        #expect(names(folder) == ["p", "q", "t"])
    }
}
