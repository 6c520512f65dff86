"""Azure OpenAI's tokens: calls are OpenAI's, but who makes them may be an identity of Microsoft Entra.

Sources: https://learn.microsoft.com/entra (client credentials by secret and by certificate, workload identity
federation, managed identities by IMDS, App Service and Azure Arc).
"""
