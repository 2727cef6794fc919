/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A TLS client with a key of the PKCS#11 token, by Java's own provider: java TlsClient.java CONFIGURATION ALIAS PORT
 * VERSION. Sends a line to 127.0.0.1 and prints what comes back. Who the server is it does not look at. */
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.Socket;
import java.security.KeyStore;
import java.security.Principal;
import java.security.PrivateKey;
import java.security.Provider;
import java.security.Security;
import java.security.cert.X509Certificate;
import javax.net.ssl.KeyManager;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManager;
import javax.net.ssl.X509ExtendedKeyManager;
import javax.net.ssl.X509ExtendedTrustManager;

public class TlsClient {
    /* The one key, whatever the server asks for. */
    static class OneKey extends X509ExtendedKeyManager {
        final PrivateKey key;
        final X509Certificate[] chain;

        OneKey(KeyStore store, String alias) throws Exception {
            key = (PrivateKey) store.getKey(alias, null);
            var certificates = store.getCertificateChain(alias);
            chain = new X509Certificate[certificates.length];
            for (int i = 0; i < chain.length; i++)
                chain[i] = (X509Certificate) certificates[i];
        }

        public String chooseClientAlias(String[] types, Principal[] issuers, Socket socket) {
            for (String type : types)
                if (type.equals(chain[0].getPublicKey().getAlgorithm()))
                    return "it";
            return null;
        }

        public String chooseServerAlias(String type, Principal[] issuers, Socket socket) {
            return null;
        }

        public String chooseEngineClientAlias(String[] types, Principal[] issuers, SSLEngine engine) {
            return null;
        }

        public X509Certificate[] getCertificateChain(String alias) {
            return chain;
        }

        public PrivateKey getPrivateKey(String alias) {
            return key;
        }

        public String[] getClientAliases(String type, Principal[] issuers) {
            return new String[] { "it" };
        }

        public String[] getServerAliases(String type, Principal[] issuers) {
            return null;
        }
    }

    static class Anybody extends X509ExtendedTrustManager {
        public void checkClientTrusted(X509Certificate[] chain, String type) {}
        public void checkServerTrusted(X509Certificate[] chain, String type) {}
        public void checkClientTrusted(X509Certificate[] chain, String type, Socket socket) {}
        public void checkServerTrusted(X509Certificate[] chain, String type, Socket socket) {}
        public void checkClientTrusted(X509Certificate[] chain, String type, SSLEngine engine) {}
        public void checkServerTrusted(X509Certificate[] chain, String type, SSLEngine engine) {}

        public X509Certificate[] getAcceptedIssuers() {
            return new X509Certificate[0];
        }
    }

    public static void main(String[] arguments) throws Exception {
        Provider provider = Security.getProvider("SunPKCS11").configure(arguments[0]);
        Security.addProvider(provider);
        KeyStore store = KeyStore.getInstance("PKCS11", provider);
        store.load(null, null);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(new KeyManager[] { new OneKey(store, arguments[1]) }, new TrustManager[] { new Anybody() }, null);
        try (var socket = (SSLSocket) context.getSocketFactory().createSocket("127.0.0.1", Integer.parseInt(arguments[2]))) {
            socket.setEnabledProtocols(new String[] { arguments[3] });
            socket.getOutputStream().write("hello\n".getBytes());
            System.out.println(new BufferedReader(new InputStreamReader(socket.getInputStream())).readLine());
        }
    }
}
