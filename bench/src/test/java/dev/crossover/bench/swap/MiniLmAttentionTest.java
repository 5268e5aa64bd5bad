// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.swap;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.crossover.bench.reading.AttentionStack;
import dev.crossover.models.layer.HeadTensors;
import dev.crossover.models.pretrained.AttentionCore;
import dev.crossover.models.pretrained.MiniLm;
import dev.crossover.models.pretrained.SentenceEncoder;
import org.junit.jupiter.api.Test;

/// Weights of an encoder's heads.
class MiniLmAttentionTest {
  @Test
  void weightsTimesValuesAreTheHeadsOutputs() {
    MiniLm model = DrawnModel.LOADED.model();
    int[] ids = DrawnModel.LOADED.requireTokenizer().encode("the cat sat on a mat", 64);
    AttentionStack stack = MiniLmAttention.of(model, ids, 1);
    assertEquals(model.layers(), stack.depth());
    assertEquals(12, stack.heads(0));
    SentenceEncoder encoder = SentenceEncoder.keeping(model, AttentionCore.EXACT, 1, ids.length, 1);
    encoder.embed(ids, null);
    HeadTensors heads = encoder.heads(0);
    int n = ids.length;
    int d = 32;
    for (int h = 0; h < 12; h++) {
      for (int i = 0; i < n; i++) {
        double sum = 0;
        for (int j = 0; j < n; j++) {
          sum += stack.head(0, h)[i][j];
        }
        assertEquals(1, sum, 1e-12);
        for (int c = 0; c < d; c++) {
          double out = 0;
          for (int j = 0; j < n; j++) {
            out += stack.head(0, h)[i][j] * heads.value().data()[(h * n + j) * d + c];
          }
          assertEquals(out, heads.out().data()[(h * n + i) * d + c], 1e-5);
        }
      }
    }
  }
}
