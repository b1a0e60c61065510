// A gRPC client on grpc-java's netty transport with its ordinary credentials: a key
// manager for the client's certificate, a trust manager for the server's CA. So Java
// decides whether to present the certificate: not if the server sends a list of
// acceptable CAs and none of them has issued it.
//
// Reads a call as a JSON object per line, and answers each with one line: the reply of
// the server, or the errors of grpc-java. Run as one source file: java -cp 'LIB/*' FILE

import com.google.gson.Gson;
import io.grpc.CallOptions;
import io.grpc.ChannelCredentials;
import io.grpc.Grpc;
import io.grpc.ManagedChannel;
import io.grpc.MethodDescriptor;
import io.grpc.StatusRuntimeException;
import io.grpc.TlsChannelCredentials;
import io.grpc.netty.shaded.io.grpc.netty.GrpcSslContexts;
import io.grpc.netty.shaded.io.grpc.netty.NettySslContextChannelCredentials;
import io.grpc.netty.shaded.io.netty.handler.ssl.SslContextBuilder;
import io.grpc.stub.ClientCalls;
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Base64;
import java.util.concurrent.TimeUnit;
import javax.net.ssl.KeyManager;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.TrustManager;
import javax.net.ssl.TrustManagerFactory;

public final class Client {
  private static final int PATIENCE = 20;
  private static final char[] NO_PASSWORD = {};

  // A unary call, and the TLS settings of the connection for it, as the Go clients
  // read them. Version is the only TLS version to offer, such as 0x0303.
  private static final class Call {
    String Address;
    int Version;
    String CA;
    String Certificate;
    String Key;
    String Path;
    String Body;
  }

  // The outcome; Error is empty if the call succeeded.
  private static final class Answer {
    String Body = "";
    String Error = "";
  }

  private static final MethodDescriptor.Marshaller<byte[]> RAW =
      new MethodDescriptor.Marshaller<>() {
        @Override
        public InputStream stream(byte[] message) {
          return new ByteArrayInputStream(message);
        }

        @Override
        public byte[] parse(InputStream stream) {
          try {
            return stream.readAllBytes();
          } catch (IOException error) {
            throw new IllegalStateException(error);
          }
        }
      };

  private Client() {}

  public static void main(String[] arguments) throws Exception {
    Gson json = new Gson();
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      Answer answer = new Answer();
      try {
        answer.Body = Base64.getEncoder().encodeToString(make(json.fromJson(line, Call.class)));
      } catch (StatusRuntimeException error) {
        answer.Error = causes(error);
      }
      System.out.println(json.toJson(answer));
    }
  }

  private static byte[] make(Call call) throws Exception {
    MethodDescriptor<byte[], byte[]> method =
        MethodDescriptor.<byte[], byte[]>newBuilder()
            .setType(MethodDescriptor.MethodType.UNARY)
            .setFullMethodName(call.Path.substring(1))
            .setRequestMarshaller(RAW)
            .setResponseMarshaller(RAW)
            .build();
    ManagedChannel channel =
        Grpc.newChannelBuilder(call.Address, credentials(call))
            .overrideAuthority("localhost")
            .disableRetry()
            .build();
    try {
      return ClientCalls.blockingUnaryCall(
          channel,
          method,
          CallOptions.DEFAULT.withDeadlineAfter(PATIENCE, TimeUnit.SECONDS),
          Base64.getDecoder().decode(call.Body));
    } finally {
      channel.shutdownNow().awaitTermination(PATIENCE, TimeUnit.SECONDS);
    }
  }

  // TLS 1.3 is what TlsChannelCredentials negotiates with these servers; for a lower
  // version grpc-java has the builder of its transport.
  private static ChannelCredentials credentials(Call call) throws Exception {
    TrustManager[] trusted = trustManagers(call.CA);
    KeyManager[] own = call.Certificate.isEmpty() ? null : keyManagers(call);
    if (call.Version > 0x0303) {
      TlsChannelCredentials.Builder builder =
          TlsChannelCredentials.newBuilder().trustManager(trusted);
      return (own == null ? builder : builder.keyManager(own)).build();
    }
    SslContextBuilder builder =
        GrpcSslContexts.forClient().protocols("TLSv1.2").trustManager(trusted[0]);
    return NettySslContextChannelCredentials.create(
        (own == null ? builder : builder.keyManager(own[0])).build());
  }

  private static TrustManager[] trustManagers(String pem) throws Exception {
    KeyStore store = emptyStore();
    store.setCertificateEntry("ca", certificates(pem)[0]);
    TrustManagerFactory factory =
        TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
    factory.init(store);
    return factory.getTrustManagers();
  }

  private static KeyManager[] keyManagers(Call call) throws Exception {
    Certificate[] chain = certificates(call.Certificate);
    KeyStore store = emptyStore();
    store.setKeyEntry("own", privateKey(call.Key), NO_PASSWORD, chain);
    KeyManagerFactory factory =
        KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
    factory.init(store, NO_PASSWORD);
    return factory.getKeyManagers();
  }

  private static KeyStore emptyStore() throws Exception {
    KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
    store.load(null, NO_PASSWORD);
    return store;
  }

  private static Certificate[] certificates(String pem) throws Exception {
    return CertificateFactory.getInstance("X.509")
        .generateCertificates(new ByteArrayInputStream(pem.getBytes("US-ASCII")))
        .toArray(new Certificate[0]);
  }

  private static PrivateKey privateKey(String pem) throws Exception {
    String text = pem.replaceAll("-----[A-Z ]+-----", "").replaceAll("\\s", "");
    PKCS8EncodedKeySpec encoded = new PKCS8EncodedKeySpec(Base64.getDecoder().decode(text));
    for (String algorithm : new String[] {"EC", "RSA", "EdDSA"}) {
      try {
        return KeyFactory.getInstance(algorithm).generatePrivate(encoded);
      } catch (java.security.spec.InvalidKeySpecException error) {
        continue; // a key of another algorithm
      }
    }
    throw new IllegalArgumentException("a key of an unknown algorithm");
  }

  private static String causes(Throwable error) {
    StringBuilder text = new StringBuilder();
    for (Throwable one = error; one != null; one = one.getCause()) {
      text.append(text.length() == 0 ? "" : ": ").append(one.getMessage());
    }
    return text.toString();
  }
}
