SELECT secret
FROM id_secret
