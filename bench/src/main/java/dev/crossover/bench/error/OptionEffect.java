// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.error;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionInputs;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Capabilities.Causality;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.MechanismType;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import java.util.LinkedHashMap;
import java.util.Map;

/// How far the output moves when a mechanism follows its paper instead of its authors' code.
///
/// @param mask the mask the effect was measured under, `none` or `causal`
/// @param relative ‖paper − code‖ / ‖code‖ over all outputs
public record OptionEffect(String mask, double relative) {
  /// Sizes of the seeded input: queries, keys and values from N(0, 1).
  public static final AttentionShape SHAPE = AttentionShape.of(2, 2, 256, 32);

  /// Seed of the input.
  public static final long SEED = 7;

  /// Measures a difference; without a mask, or under causal order when only that shows an effect.
  ///
  /// @param type the mechanism
  /// @param difference one of its declared differences
  /// @throws IllegalArgumentException if an option it names is not valid
  public static OptionEffect of(MechanismType type, Mechanism.Difference difference) {
    Attention paper = with(type, difference.paperOption());
    Attention code = with(type, difference.codeOption());
    Causality causality = code.capabilities().causal();
    if (causality != Causality.ALWAYS) {
      double effect = relative(paper, code, Mask.none());
      if (effect > 0 || causality == Causality.NEVER) {
        return new OptionEffect("none", effect);
      }
    }
    return new OptionEffect("causal", relative(paper, code, Mask.causal()));
  }

  /// The mechanism with one setting, `name=value` pairs joined by commas, on top of its defaults.
  private static Attention with(MechanismType type, String option) {
    Map<String, String> values = new LinkedHashMap<>();
    for (String pair : option.split(",")) {
      int equals = pair.indexOf('=');
      if (equals > 0) {
        values.put(pair.substring(0, equals), pair.substring(equals + 1));
      }
    }
    return type.create(values);
  }

  private static double relative(Attention paper, Attention code, Mask mask) {
    Tensors qkv = Tensors.NONE;
    for (var spec : AttentionInputs.qkv(SHAPE)) {
      qkv = qkv.with(spec.name(), spec.drawn(Draws.seedFor(SEED, spec.name())));
    }
    Tensor a = output(paper, mask, qkv);
    Tensor b = output(code, mask, qkv);
    double difference = 0;
    double reference = 0;
    for (int i = 0; i < a.size(); i++) {
      double x = a.data()[i];
      double y = b.data()[i];
      difference += (x - y) * (x - y);
      reference += y * y;
    }
    return Math.sqrt(difference / reference);
  }

  private static Tensor output(Attention attention, Mask mask, Tensors qkv) {
    Tensor out = Tensor.zeros(attention.outputShape(SHAPE));
    attention.plan(SHAPE, mask, 1).forward(attention.adapt(SHAPE, qkv, SEED), out);
    return out;
  }
}
