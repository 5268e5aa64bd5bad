// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DecodeSession;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.mechanism.MechanismType;
import dev.crossover.attention.store.CacheOptions;
import dev.crossover.attention.store.CachingAttention;
import dev.crossover.attention.store.CachingAttention.Caching;
import dev.crossover.attention.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

/// Stores and policies as parameters of mechanisms.
class CachedTest {
  private static final int N = 96;
  private static final int HEADS = 4;
  private static final int DIM = 32;

  /// A half float errs by 2⁻¹¹ of its value at most. A softmax over scores between -1 and 1
  /// magnifies the error of keys at most twice; values add theirs.
  private static final double HALF = 3 * 0x1p-11;

  private static final AttentionShape SHAPE = new AttentionShape(2, HEADS, 2, N, N, DIM, DIM, DIM);

  /// Decodes everything after a prompt.
  private static float[] decoded(Attention attention, Tensors whole, int prompt, int threads) {
    return decoded(attention, SHAPE, whole, prompt, threads);
  }

  private static float[] decoded(
      Attention attention, AttentionShape shape, Tensors whole, int prompt, int threads) {
    DecodeSession session = attention.decode(shape, threads);
    if (prompt > 0) {
      session.prefill(rows(whole, 0, prompt));
    }
    Tensor one = Tensor.zeros(2, HEADS, 1, DIM);
    float[] all = new float[2 * HEADS * (N - prompt) * DIM];
    for (int t = prompt; t < N; t++) {
      session.step(rows(whole, t, t + 1), one);
      for (int h = 0; h < 2 * HEADS; h++) {
        System.arraycopy(one.data(), h * DIM, all, (h * (N - prompt) + t - prompt) * DIM, DIM);
      }
    }
    return all;
  }

  /// Tokens `from … to - 1`, cut along the dimension of length N.
  private static Tensors rows(Tensors whole, int from, int to) {
    Tensors some = Tensors.NONE;
    for (int i = 0; i < whole.size(); i++) {
      Tensor tensor = whole.tensor(i);
      int along =
          IntStream.range(0, tensor.rank())
              .filter(d -> tensor.extent(d) == N)
              .findFirst()
              .orElse(-1);
      if (along < 0) {
        some = some.with(whole.name(i), tensor);
        continue;
      }
      int[] shape = tensor.shape();
      shape[along] = to - from;
      Tensor part = Tensor.zeros(shape);
      int width = 1;
      for (int d = along + 1; d < shape.length; d++) {
        width *= shape[d];
      }
      for (int outer = 0; outer < tensor.size() / (N * width); outer++) {
        int at = (outer * N + from) * width;
        int target = outer * (to - from) * width;
        System.arraycopy(tensor.data(), at, part.data(), target, (to - from) * width);
      }
      some = some.with(whole.name(i), part);
    }
    return some;
  }

  private static double distance(float[] a, float[] b) {
    double squares = 0;
    double all = 0;
    for (int i = 0; i < a.length; i++) {
      squares += (a[i] - b[i]) * (double) (a[i] - b[i]);
      all += b[i] * (double) b[i];
    }
    return Math.sqrt(squares / all);
  }

  @Test
  void textsMeanTheSameWhenReadAgain() {
    for (String text :
        List.of(
            "tiled:store=int8",
            "tiled:store=int4_grouped",
            "tiled:store=int2_grouped/16/64",
            "tiled:window_size=64,store=bf16",
            "tiled:cache=h2o,heavy_budget=3,recent_budget=5",
            "tiled:cache=streaming_llm,sink_tokens=2,budget=20",
            "tiled:store=f16,cache=quest,page_size=4",
            "tiled:cache=tova,budget=9,decode_interval=3",
            "tiled:rope=half,cache=expected_attention,budget=9")) {
      Attention attention = Catalogue.parse(text);
      assertEquals(text, Catalogue.describe(attention));
      assertEquals(attention, Catalogue.parse(Catalogue.describe(attention)));
    }
    assertEquals(
        Catalogue.parse("tiled:cache=h2o,heavy_budget=5,recent_budget=6"),
        Catalogue.parse("tiled:cache=h2o,budget=11"));
  }

  @Test
  void whatIsWrongIsRefusedByName() {
    for (String[] wrong :
        new String[][] {
          {"tiled:store=int7", "store"},
          {"tiled:store=f16/3", "store"},
          {"tiled:store=int4_grouped/32/40", "residual_length"},
          {"tiled:store=int4_grouped,cache=h2o", "grouped"},
          {"tiled:cache=h3o", "policy"},
          {"tiled:cache=h2o,page_size=3", "page_size"},
          {"tiled:cache=tova,decode_interval=x", "decode_interval"},
          {"gla:store=f16", "store"},
          {"materialised:cache=h2o", "cache"},
          {"luna:store=f16", "store"}
        }) {
      String message =
          String.valueOf(
              assertThrows(IllegalArgumentException.class, () -> Catalogue.parse(wrong[0]))
                  .getMessage());
      assertTrue(message.contains(wrong[1]), message);
      assertTrue(message.startsWith(wrong[0].substring(0, wrong[0].indexOf(':'))), message);
    }
    for (String[] refused :
        new String[][] {
          {"longformer:cache=h2o", "says itself"},
          {"moba:cache=tova", "says itself"},
          {"nsa:cache=h2o", "says itself"},
          {"dsa:cache=quest", "says itself"},
          {"differential:cache=knorm", "says itself"},
          {"fox:window_size=9,cache=h2o", "says itself"},
          {"fox:window_size=9,store=int4_grouped", "grouped"},
          {"fox:cache=quest", "order of dot products"},
          {"stick_breaking:cache=expected_attention", "softmax of plain dot products"},
          {"topk:cache=expected_attention", "softmax of plain dot products"},
          {"tiled:alibi=geometric,cache=quest", "order of dot products"},
          {"tiled:window_size=9,cache=h2o", "window_size"},
          {"power:switch_over_seq_len=1,store=f16", "switch_over_seq_len"}
        }) {
      Attention attention = Catalogue.parse(refused[0]);
      String message =
          String.valueOf(
              assertThrows(IllegalArgumentException.class, () -> attention.decode(SHAPE))
                  .getMessage());
      assertTrue(message.startsWith(attention.name()), message);
      assertTrue(message.contains(refused[1]), message);
    }
    Attention stored = Catalogue.parse("tiled:store=f16");
    String message =
        String.valueOf(
            assertThrows(IllegalArgumentException.class, () -> stored.plan(SHAPE, Mask.causal(), 1))
                .getMessage());
    assertTrue(message.contains("store"), message);
    DecodeSession session = Catalogue.parse("tiled:cache=snapkv").decode(SHAPE);
    Tensors whole = Catalogue.parse("tiled").adapt(SHAPE, Tensors.NONE, 1);
    assertThrows(
        IllegalStateException.class,
        () -> session.step(rows(whole, 0, 1), Tensor.zeros(2, HEADS, 1, DIM)));
  }

  /// The same tokens with keys and values rounded to IEEE half floats beforehand.
  private static Tensors rounded(Tensors whole) {
    Tensors tensors = whole;
    for (String name : List.of("k", "v", "index_key")) {
      if (!whole.has(name)) {
        continue;
      }
      Tensor tensor = whole.get(name).copy();
      float[] data = tensor.data();
      for (int i = 0; i < data.length; i++) {
        data[i] = Float.float16ToFloat(Float.floatToFloat16(data[i]));
      }
      tensors = tensors.with(name, tensor);
    }
    return tensors;
  }

  /// Every mechanism that caches keys: 32-bit floats give what its own session gives; half floats
  /// what its own session gives for keys and values that were rounded before; bytes round more.
  @Test
  void storesRoundAsTheySay() {
    int mechanisms = 0;
    for (MechanismType type : Catalogue.all()) {
      if (!CachingAttention.class.isAssignableFrom(type.type())) {
        continue;
      }
      mechanisms++;
      Attention own = type.defaults();
      AttentionShape shape = shapeFor(own);
      Tensors whole = own.adapt(shape, Tensors.NONE, 7);
      float[] exact = decoded(own, shape, whole, 10, 1);
      assertTrue(
          distance(decoded(Catalogue.parse(type.name() + ":store=f32"), shape, whole, 10, 2), exact)
              < 1e-6,
          type.name());
      float[] half = decoded(Catalogue.parse(type.name() + ":store=f16"), shape, whole, 10, 2);
      double rounding = distance(half, exact);
      assertTrue(rounding > 1e-6, type.name() + ": " + rounding);
      double beside = distance(half, decoded(own, shape, rounded(whole), 10, 1));
      // these keep other keys than were given: unit, projected or rotated ones, or with a bias
      boolean others =
          List.of("cosine", "tener", "additive", "mla", "differential").contains(type.name());
      assertTrue(beside <= (others ? HALF : 1e-6), type.name() + ": " + beside);
      double bytes =
          distance(
              decoded(Catalogue.parse(type.name() + ":store=int8"), shape, whole, 10, 1), exact);
      assertTrue(bytes > rounding, type.name() + ": " + bytes);
    }
    assertTrue(mechanisms >= 17, "mechanisms: " + mechanisms);
  }

  /// Mechanisms whose sessions can drop positions, with whatever changes their weights.
  private static final List<String> DROPPING =
      List.of(
          "fox",
          "cosine",
          "tener",
          "additive",
          "additive:weight_normalisation=true",
          "stick_breaking",
          "stick_breaking:attend_current=true,remainder_to_current=true",
          "power:score_eps=1e-3,eps=1e-2",
          "topk",
          "mla",
          "mla:attn_impl=naive",
          "tiled:alibi=geometric,logit_softcap=2,sink_logit=true");

  private static AttentionShape shapeFor(Attention attention) {
    boolean grouped = attention.capabilities().groupedQueries();
    return new AttentionShape(2, HEADS, grouped ? 2 : HEADS, N, N, DIM, DIM, DIM);
  }

  private static String with(String text, String option) {
    return text + (text.contains(":") ? "," : ":") + option;
  }

  /// Where nothing need go, a policy's session gives what the mechanism's own does.
  @Test
  void mechanismsWithSufficientBudgetsAreAsWithoutAPolicy() {
    for (String text : DROPPING) {
      Attention own = Catalogue.parse(text);
      AttentionShape shape = shapeFor(own);
      Tensors whole = own.adapt(shape, Tensors.NONE, 13);
      float[] expected = decoded(own, shape, whole, 40, 1);
      for (String option :
          List.of("cache=h2o,budget=192", "cache=tova,budget=96", "cache=snapkv,budget=96")) {
        float[] found = decoded(Catalogue.parse(with(text, option)), shape, whole, 40, 2);
        double distance = distance(found, expected);
        assertTrue(distance < 1e-5, text + " " + option + ": " + distance);
      }
    }
  }

  /// A window of StreamingLLM is a session that never saw what was before it: all these mechanisms
  /// know differences of positions only.
  @Test
  void mechanismsForgetWhatIsDropped() {
    int kept = 20;
    for (String text : DROPPING) {
      Attention own = Catalogue.parse(text);
      AttentionShape shape = shapeFor(own);
      Tensors whole = own.adapt(shape, Tensors.NONE, 17);
      String option = "cache=streaming_llm,sink_tokens=0,budget=" + kept;
      float[] windowed = decoded(Catalogue.parse(with(text, option)), shape, whole, 50, 2);
      float[] all = decoded(own, shape, whole, 50, 1);
      Tensor one = Tensor.zeros(2, HEADS, 1, DIM);
      int last = N - 51;
      float[] expected = new float[2 * HEADS * DIM];
      float[] found = new float[expected.length];
      float[] other = new float[expected.length];
      DecodeSession fresh = own.decode(shape, 1);
      fresh.prefill(rows(whole, N - 1 - kept, N - 1));
      fresh.step(rows(whole, N - 1, N), one);
      for (int h = 0; h < 2 * HEADS; h++) {
        int row = (h * (N - 50) + last) * DIM;
        System.arraycopy(one.data(), h * DIM, expected, h * DIM, DIM);
        System.arraycopy(windowed, row, found, h * DIM, DIM);
        System.arraycopy(all, row, other, h * DIM, DIM);
      }
      assertTrue(distance(found, expected) < 1e-5, text + ": " + distance(found, expected));
      // a stick may be used up before the window ends
      boolean local = text.startsWith("stick");
      assertTrue(local || distance(other, expected) > 1e-3, text);
    }
  }

  /// Grouped storage, whose rows share scales, serves all sessions that only append.
  @Test
  void groupsServeWhateverAppends() {
    List<String> texts = new ArrayList<>(DROPPING);
    texts.addAll(List.of("nsa", "dsa", "differential"));
    for (String text : texts) {
      Attention own = Catalogue.parse(text);
      AttentionShape shape = shapeFor(own);
      Tensors whole = own.adapt(shape, Tensors.NONE, 19);
      float[] exact = decoded(own, shape, whole, 10, 1);
      Attention eight = Catalogue.parse(with(text, "store=int8_grouped/8"));
      Attention four = Catalogue.parse(with(text, "store=int4_grouped/8"));
      double fine = distance(decoded(eight, shape, whole, 10, 2), exact);
      double coarse = distance(decoded(four, shape, whole, 10, 1), exact);
      assertTrue(fine > 1e-6 && fine < coarse, text + ": " + fine + " and " + coarse);
    }
  }

  /// What a mechanism says of its caches is what its sessions accept.
  @Test
  void mechanismsSayWhatTheirCachesLetBeDone() {
    for (MechanismType type : Catalogue.all()) {
      if (!(type.defaults() instanceof CachingAttention attention)) {
        continue;
      }
      Caching caching = attention.caching();
      assertEquals(
          caching != Caching.REWRITTEN, opens(type.name() + ":store=int8_grouped/8"), type.name());
      assertEquals(
          caching == Caching.COMPRESSED, opens(type.name() + ":cache=streaming_llm"), type.name());
    }
  }

  private static boolean opens(String text) {
    Attention attention = Catalogue.parse(text);
    try {
      attention.decode(shapeFor(attention));
      return true;
    } catch (IllegalArgumentException e) {
      return false;
    }
  }

  /// The latent is stored once, and is key and value.
  @Test
  void latentsAreStoredOnce() {
    Attention mla = Catalogue.parse("mla:kv_lora_rank=64,qk_rope_head_dim=8");
    AttentionShape shape = shapeFor(mla);
    Tensors whole = mla.adapt(shape, Tensors.NONE, 23);
    for (String store : List.of("f16", "int8")) {
      DecodeSession session =
          Catalogue.parse("mla:kv_lora_rank=64,qk_rope_head_dim=8,store=" + store).decode(shape, 1);
      session.prefill(rows(whole, 0, 40));
      long row = store.equals("f16") ? 2 * (64 + 8) : 64 + 8 + Float.BYTES;
      assertEquals(2 * 40 * row, session.stateBytes(), store);
    }
  }

  @Test
  void budgetsThatSufficeAreExact() {
    Attention exact = Catalogue.parse("tiled:rope=half");
    Tensors whole = exact.adapt(SHAPE, Tensors.NONE, 3);
    float[] expected = decoded(exact, whole, 40, 1);
    for (String policy :
        List.of(
            "streaming_llm,budget=96",
            "h2o,budget=192",
            "observed_attention,budget=96",
            "tova,budget=96",
            "snapkv,budget=96",
            "knorm,budget=96",
            "keydiff,budget=96",
            "expected_attention,budget=96",
            "quest,page_size=1,budget=96")) {
      Attention attention = Catalogue.parse("tiled:rope=half,cache=" + policy);
      float[] found = decoded(attention, whole, 40, 2);
      assertTrue(distance(found, expected) < 1e-5, policy + ": " + distance(found, expected));
    }
  }

  /// StreamingLLM at original positions is a window with sinks.
  @Test
  void streamingIsAWindowWithSinks() {
    Tensors whole = Catalogue.parse("tiled").adapt(SHAPE, Tensors.NONE, 5);
    float[] expected = decoded(Catalogue.parse("tiled:window_size=17,sink_tokens=4"), whole, 40, 1);
    Attention streaming = Catalogue.parse("tiled:cache=streaming_llm,budget=20");
    assertTrue(distance(decoded(streaming, whole, 40, 1), expected) < 1e-5);
    assertTrue(distance(decoded(Catalogue.parse("tiled"), whole, 40, 1), expected) > 1e-2);
    DecodeSession session = streaming.decode(SHAPE);
    session.prefill(rows(whole, 0, 40));
    assertEquals(20L * 2 * 2 * 2 * DIM * Float.BYTES, session.stateBytes());
  }

  /// A prefix behind the prompt is taken token by token, and a session that was reset starts anew.
  @Test
  void prefixesAndResetsLeaveTheSameState() {
    Tensors whole = Catalogue.parse("tiled").adapt(SHAPE, Tensors.NONE, 9);
    List<float[]> found = new ArrayList<>();
    for (String text :
        List.of("tiled:cache=h2o,budget=12", "tiled:store=int8,cache=tova,budget=9")) {
      DecodeSession session = Catalogue.parse(text).decode(SHAPE);
      Tensor one = Tensor.zeros(2, HEADS, 1, DIM);
      for (int round = 0; round < 2; round++) {
        session.reset();
        session.prefill(rows(whole, 0, 30));
        session.prefill(rows(whole, 30, 60));
        session.step(rows(whole, 60, 61), one);
        found.add(one.data().clone());
      }
      session.reset();
      session.prefill(rows(whole, 0, 30));
      for (int t = 30; t < 61; t++) {
        session.step(rows(whole, t, t + 1), one);
      }
      assertArrayEquals(one.data(), found.getLast(), text);
      assertArrayEquals(found.get(found.size() - 2), found.getLast(), text);
    }
    assertNotEquals(found.getFirst()[0], found.getLast()[0]);
    assertEquals(CacheOptions.NONE, new CacheOptions(CacheOptions.NONE.storage(), null, 0));
  }
}
