// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.peers;

import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.Map;

/// ONNX Runtime's MultiHeadAttention, its fastest exact attention on a CPU.
final class OnnxContender implements Contender {
  private final int batch;
  private final int heads;
  private final int n;
  private final int keys;
  private final int d;
  private final OrtSession session;
  private final OnnxTensor query;
  private final OnnxTensor key;
  private final OnnxTensor value;
  private final FloatBuffer out;
  private final OnnxTensor outTensor;

  OnnxContender(Problem problem, int threads) {
    batch = problem.shape().batchSize();
    heads = problem.shape().numHeads();
    n = problem.shape().querySeqLen();
    keys = problem.shape().keySeqLen();
    d = problem.shape().headDim();
    OrtEnvironment environment = OrtEnvironment.getEnvironment();
    try (OrtSession.SessionOptions options = new OrtSession.SessionOptions()) {
      options.setIntraOpNumThreads(threads);
      options.setInterOpNumThreads(1);
      session =
          environment.createSession(
              OnnxModel.of(batch, heads, n, keys, d, problem.causal()), options);
      query = tensor(environment, interleaved(problem.query().data(), n), n);
      key = tensor(environment, interleaved(problem.repeated(problem.key()), keys), keys);
      value = tensor(environment, interleaved(problem.repeated(problem.value()), keys), keys);
      out = interleaved(new float[batch * heads * n * d], n);
      outTensor = tensor(environment, out, n);
    } catch (OrtException e) {
      throw new IllegalStateException("ONNX Runtime refused the model", e);
    }
  }

  private OnnxTensor tensor(OrtEnvironment environment, FloatBuffer data, int rows)
      throws OrtException {
    return OnnxTensor.createTensor(environment, data, new long[] {batch, rows, (long) heads * d});
  }

  /// `[batch, heads, rows, d]` as `[batch, rows, heads, d]` in native memory.
  private FloatBuffer interleaved(float[] x, int rows) {
    FloatBuffer buffer =
        ByteBuffer.allocateDirect(x.length * Float.BYTES)
            .order(ByteOrder.nativeOrder())
            .asFloatBuffer();
    for (int b = 0; b < batch; b++) {
      for (int h = 0; h < heads; h++) {
        for (int i = 0; i < rows; i++) {
          buffer.put(((b * rows + i) * heads + h) * d, x, ((b * heads + h) * rows + i) * d, d);
        }
      }
    }
    return buffer;
  }

  @Override
  public String name() {
    return "ONNX Runtime 1.29.0";
  }

  @Override
  public void run() {
    try (OrtSession.Result result =
        session.run(Map.of("q", query, "k", key, "v", value), Map.of("out", outTensor))) {
      if (result.size() != 0 && result.size() != 1) {
        throw new IllegalStateException("unexpected results: " + result.size());
      }
    } catch (OrtException e) {
      throw new IllegalStateException("ONNX Runtime failed", e);
    }
  }

  @Override
  public float[] output() {
    float[] values = new float[batch * heads * n * d];
    for (int b = 0; b < batch; b++) {
      for (int h = 0; h < heads; h++) {
        for (int i = 0; i < n; i++) {
          out.get(((b * n + i) * heads + h) * d, values, ((b * heads + h) * n + i) * d, d);
        }
      }
    }
    return values;
  }

  @Override
  public void close() {
    query.close();
    key.close();
    value.close();
    outTensor.close();
    try {
      session.close();
    } catch (OrtException e) {
      throw new IllegalStateException("ONNX Runtime failed to close", e);
    }
  }
}
